import { describe, expect, it } from "vitest";
import { scotKind } from "../../../src/core/routers/scot.ts";
import { affinities, countLoad, largestDifference, largestIndices, normalised, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

// Gates and plans are float32.
const gateTolerance = 2e-6;
const shape = { tokens: 48, experts: 6, topK: 2, capacityFactor: 1 };
const logits = skewedLogits("scot", shape.tokens, shape.experts, 2);
const affinity = affinities(toMatrix(logits, shape.tokens, shape.experts), "softmax");

describe("scot", () => {
  it.each(["scores", "plan"])(
    "selects the K largest non-zeros of each row of the plan and gates by the %s",
    (gates) => {
      const router = createRouterUnderTest("scot", shape, { options: { gates, gateScale: 3 } });
      const { expert, gate, load, solver } = router.route(logits);
      const plan = router.plan();
      plan.forEach((row, token) => {
        const chosen = largestIndices(row, 2).filter((e) => row[e] > 0);
        expect([...expert[token]].sort()).toEqual([...chosen].sort());
        const weights = gates === "plan" ? row : affinity[token];
        const selected = normalised(expert[token].map((e) => weights[e])).map((weight) => 3 * weight);
        expect(largestDifference([gate[token]], [selected])).toBeLessThan(3 * gateTolerance);
      });
      expect(load).toEqual(countLoad(expert, shape.experts));
      expect(solver).toMatchObject({ converged: true });
      expect(solver!.maxColumnCardinality).toBeLessThanOrEqual(16);
      expect(solver!.dualityGap).toBeGreaterThan(0);
    },
  );

  it("tells no duality gap where gamma overflows the plan's value, instead of an infinite one", () => {
    const { solver } = createRouterUnderTest("scot", shape, { options: { gamma: 1e300 } }).route(logits);
    expect(solver).not.toHaveProperty("dualityGap");
  });

  it("balances the loads exactly by default, where plain top-k sends one expert more than twice its share", () => {
    const plain = createRouterUnderTest("topk", shape).route(logits);
    expect(Math.max(...plain.load)).toBeGreaterThan(32);
    expect(createRouterUnderTest("scot", shape).route(logits).load).toEqual([16, 16, 16, 16, 16, 16]);
  });

  it("sends two tokens that prefer the same expert to different ones", () => {
    const square = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    for (const formulation of ["dual", "semi-dual"]) {
      const { expert, gate } = createRouterUnderTest("scot", square, { options: { formulation } }).route(
        Float32Array.of(3, 0, 1, 0),
      );
      expect(expert).toEqual([[0], [1]]);
      expect(gate).toEqual([[1], [1]]);
    }
  });

  it("fills slots that the plan leaves empty by affinity with gate 0, or leaves them −1", () => {
    // A small γ gathers most rows on one expert.
    const options = { gamma: 0.01, gates: "plan" };
    const filled = createRouterUnderTest("scot", shape, { options }).route(logits);
    const bare = createRouterUnderTest("scot", shape, { options: { ...options, fallback: "none" } }).route(logits);
    let empty = 0;
    bare.expert.forEach((row, token) => {
      const own = row.filter((e) => e >= 0);
      empty += row.length - own.length;
      const others = largestIndices(affinity[token], shape.experts).filter((e) => !own.includes(e));
      expect(filled.expert[token]).toEqual([...own, ...others].slice(0, 2));
      expect(filled.gate[token]).toEqual(bare.gate[token]);
      expect(bare.gate[token].reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
    });
    expect(empty).toBeGreaterThan(10);
    expect(bare.load.reduce((sum, pairs) => sum + pairs, 0)).toBe(2 * shape.tokens - empty);
    expect(filled.load.reduce((sum, pairs) => sum + pairs, 0)).toBe(2 * shape.tokens);
  });

  it("gates the slots it fills by affinity as the others, with gates: scores", () => {
    const { expert, gate } = createRouterUnderTest("scot", shape, { options: { gamma: 0.01 } }).route(logits);
    expert.forEach((row, token) => {
      expect(largestDifference([gate[token]], [normalised(row.map((e) => affinity[token][e]))])).toBeLessThan(
        gateTolerance,
      );
    });
  });

  it("takes no expert without mass, however close its neighbour's mass is to 0", () => {
    const bare = createRouterUnderTest("scot", shape, { options: { gamma: 0.01, fallback: "none" } });
    const { expert } = bare.route(logits);
    bare.plan().forEach((row, token) => {
      for (const e of expert[token]) if (e >= 0) expect(row[e]).toBeGreaterThan(0);
    });
  });

  it("routes a token that the plan leaves out by plain top-k, and writes its row of the plan as it is, zero", () => {
    // No step of the dual, and two experts that may hold 2 tokens each: two of the 6 tokens are left out, and no support
    // that holds them is searched for. Expert 0 keeps those that like it most, expert 1 those that dislike it least.
    const crowded = { tokens: 6, experts: 2, topK: 1, capacityFactor: 1 };
    const sameFavourite = Float32Array.of(3, 0, 2.5, 0, 2, 0, 1.5, 0, 1, 0, 0.5, 0);
    const options = { maxIterations: 0, maxTokens: 2, gamma: 0.1, gates: "plan" };
    const router = createRouterUnderTest("scot", crowded, { options });
    const { expert, gate, solver } = router.route(sameFavourite);
    expect(expert).toEqual([[0], [0], [0], [0], [1], [1]]);
    expect(gate).toEqual(new Array(6).fill([1]));
    expect(solver).toMatchObject({ converged: false, maxColumnCardinality: 2 });
    const plan = router.plan();
    expect(plan.map((row) => row[0] + row[1])).toEqual([1, 1, 0, 0, 1, 1]);
    expect([0, 1].map((e) => plan.filter((row) => row[e] > 0).length)).toEqual([2, 2]);
    const bare = createRouterUnderTest("scot", crowded, { options: { ...options, fallback: "none" } });
    expect(bare.route(sameFavourite).expert.filter(([e]) => e === -1)).toHaveLength(2);
  });

  it("takes the logits as cost when asked to", () => {
    const [scores, costs] = ["scores", "logits"].map((cost) =>
      createRouterUnderTest("scot", shape, { options: { cost, gamma: 0.5 } }).route(logits),
    );
    expect(costs.solver).toMatchObject({ converged: true });
    expect(costs.expert).not.toEqual(scores.expert);
  });

  it("refuses fewer tokens an expert than its share, and unknown options", () => {
    const options = (maxTokens: number) => scotKind.options.parse({ maxTokens });
    expect(scotKind.check!(options(7), shape)).toMatchObject([{ path: ["maxTokens"] }]);
    expect(scotKind.check!(options(8), shape)).toEqual([]);
    expect(() => scotKind.options.parse({ gamma: 0 })).toThrow();
    expect(() => scotKind.options.parse({ fallback: "random" })).toThrow();
  });

  describe("with sparsity: tokens", () => {
    const sparsity = "tokens";

    it.each(["scores", "logits"])(
      "gives each token the experts of its row of the plan, which has K of them; cost: %s",
      (cost) => {
        const router = createRouterUnderTest("scot", shape, { options: { sparsity, cost, gamma: 20 } });
        const { expert, gate, load, solver } = router.route(logits);
        router.plan().forEach((row, token) => {
          expect(row.filter((mass) => mass > 0)).toHaveLength(2);
          expect(row.reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 6);
          expect([...expert[token]].sort()).toEqual([...largestIndices(row, 2)].sort());
          const weights = normalised(expert[token].map((e) => affinity[token][e]));
          expect(largestDifference([gate[token]], [weights])).toBeLessThan(gateTolerance);
        });
        expect(load).toEqual(countLoad(expert, shape.experts));
        expect(solver!.maxColumnCardinality).toBe(Math.max(...load));
        expect(solver!.marginalError).toBeGreaterThan(0);
        // Where both masses of a row are nearly ½, the columns' sums are nearly half the loads.
        expect(Math.max(...load)).toBeLessThanOrEqual(18);
      },
    );

    it("is far from balance after the authors' twenty steps of Adam, and says so", () => {
      const options = { sparsity, solver: "adam", maxIterations: 20 };
      const { load, solver } = createRouterUnderTest("scot", shape, { options }).route(logits);
      expect(solver).toMatchObject({ iterations: 20, converged: false });
      expect(Math.max(...load)).toBeGreaterThan(24);
    });

    it("fills the slots of a row that the plan gathers on fewer experts, or leaves them −1", () => {
      const options = { sparsity, gamma: 0.01, gates: "plan" };
      const filled = createRouterUnderTest("scot", shape, { options }).route(logits);
      const bare = createRouterUnderTest("scot", shape, { options: { ...options, fallback: "none" } }).route(logits);
      let empty = 0;
      bare.expert.forEach((row, token) => {
        const own = row.filter((e) => e >= 0);
        empty += row.length - own.length;
        const others = largestIndices(affinity[token], shape.experts).filter((e) => !own.includes(e));
        expect(filled.expert[token]).toEqual([...own, ...others].slice(0, 2));
        expect(filled.gate[token]).toEqual(bare.gate[token]);
        expect(bare.gate[token].reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
      });
      expect(empty).toBeGreaterThan(10);
    });

    it("routes disabled experts nowhere, and a token with fewer than K to those it has", () => {
      const masked = logits.slice();
      for (let t = 0; t < shape.tokens; t++) masked[6 * t + 2] = Number.NEGATIVE_INFINITY;
      masked.fill(Number.NEGATIVE_INFINITY, 1, 6);
      masked.fill(Number.NEGATIVE_INFINITY, 6, 12);
      const router = createRouterUnderTest("scot", shape, { options: { sparsity } });
      const { expert, load } = router.route(masked);
      expect(expert.slice(0, 2)).toEqual([
        [0, -1],
        [-1, -1],
      ]);
      expect(load[2]).toBe(0);
      expect(router.plan()[1]).toEqual(new Array(6).fill(0));
    });

    it("has no use for maxTokens", () => {
      expect(scotKind.check!(scotKind.options.parse({ sparsity, maxTokens: 1 }), shape)).toEqual([]);
    });
  });
});
