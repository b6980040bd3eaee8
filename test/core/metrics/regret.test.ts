import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expertCapacity, type RoutingShape, type ScoreKind, scoreKinds } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import {
  createFeasibleScore,
  createOptimumFinder,
  createRegretMeter,
  type StepRegret,
} from "../../../src/core/metrics/regret.ts";
import { routerKinds } from "../../../src/core/routers/index.ts";
import { backends } from "../../support/backends.ts";
import { highsOptimum, highsTolerance } from "../../support/highs.ts";
import { affinities, countLoad, type Matrix, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

/** Σ S over what is left of `chosen` when each expert keeps its best tokens, and then each token its best experts. */
function plainFeasibleScore(scores: Matrix, chosen: Matrix, topK: number, capacity: number): number {
  const pairs = chosen.flatMap((row, token) =>
    row.filter((expert) => expert >= 0).map((expert) => ({ token, expert, score: scores[token][expert] })),
  );
  const best = (some: typeof pairs, count: number) => some.toSorted((a, b) => b.score - a.score).slice(0, count);
  const kept = [...scores[0].keys()].flatMap((e) =>
    best(
      pairs.filter(({ expert }) => expert === e),
      capacity,
    ),
  );
  const counted = scores.flatMap((_, t) =>
    best(
      kept.filter(({ token }) => token === t),
      topK,
    ),
  );
  return counted.reduce((sum, { score }) => sum + score, 0);
}

/** A regret meter and the optimum that it compares with, for decisions given as rows of experts. */
function createMeter(
  kernels: Kernels,
  shape: RoutingShape,
  scores: ScoreKind,
  gap = 0,
): (logits: Float32Array, chosen: Matrix) => StepRegret {
  const finder = createOptimumFinder(kernels, shape, gap);
  const feasibleScore = createFeasibleScore(shape, shape.experts);
  const meter = createRegretMeter(shape.topK);
  const buffer = kernels.allocateFloat32(shape.tokens * shape.experts);
  const affinity = kernels.allocateFloat64(shape.tokens * shape.experts);
  return (logits, chosen) => {
    buffer.set(logits);
    const tokens = logits.length / shape.experts;
    kernels.affinities(buffer, scores, tokens, shape.experts, affinity);
    const assignment = {
      slots: chosen[0].length,
      expert: Int32Array.from(chosen.flat()),
      gate: new Float32Array(chosen.flat().length),
      load: Int32Array.from(countLoad(chosen, shape.experts)),
    };
    return meter.measure(finder.find(affinity, tokens), feasibleScore(affinity, assignment, tokens), tokens);
  };
}

/** Logits whose softmax has these scores. */
function logitsOf(scores: Matrix): Float32Array {
  return Float32Array.from(scores.flat(), Math.log);
}

const cases = fc.constantFrom(2, 3, 5, 8).chain((experts) =>
  fc.record({
    shape: fc.record({
      tokens: fc.integer({ min: 1, max: 14 }),
      experts: fc.constant(experts),
      topK: fc.integer({ min: 1, max: experts }),
      capacityFactor: fc.constantFrom(1, 1.25, 2),
    }),
    lastTokens: fc.integer({ min: 1, max: 14 }),
    scores: fc.constantFrom<ScoreKind>(...scoreKinds),
    seed: fc.nat(10_000),
  }),
);

describe.each(backends)("assignment regret, $backend kernels", (kernels) => {
  it("counts what an overloaded expert must turn away: one of two tokens that want the same", () => {
    const shape = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    const logits = logitsOf([
      [0.75, 0.25],
      [0.625, 0.375],
    ]);
    // The best is 0.75 + 0.375; expert 0 keeps 0.75 of what topk gives it. Logits are float32: 6e-8 of them.
    expect(createMeter(kernels, shape, "softmax")(logits, [[0], [0]]).regret).toBeCloseTo(0.375 / 2, 7);
    expect(createMeter(kernels, shape, "softmax")(logits, [[1], [0]]).regret).toBeCloseTo(0.25 / 2, 7);
    expect(createMeter(kernels, shape, "softmax")(logits, [[0], [1]]).regret).toBe(0);
    expect(createMeter(kernels, shape, "softmax")(logits, [[-1], [-1]]).regret).toBeCloseTo(1.125 / 2, 7);
  });

  it("counts regret of a millionth of the score", () => {
    const shape = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    const measure = createMeter(kernels, shape, "sigmoid");
    // Four affinities of ½, of which the exchange misses the one that is larger by a quarter of the logit.
    const { regret } = measure(Float32Array.of(0, 2 ** -18, 0, 0), [[0], [1]]);
    // What float64 leaves of sums of size 1.
    expect(Math.abs(regret - 2 ** -20 / 2)).toBeLessThan(1e-15);
  });

  it("counts of a token with more than K experts the K best", () => {
    const shape = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    const logits = logitsOf([
      [0.75, 0.25],
      [0.625, 0.375],
    ]);
    expect(
      createMeter(
        kernels,
        shape,
        "softmax",
      )(logits, [
        [1, 0],
        [-1, -1],
      ]).regret,
    ).toBeCloseTo(0.375 / 2, 7);
  });

  it("sums regret up over the steps on which it is measured", () => {
    const shape = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    const measure = createMeter(kernels, shape, "softmax");
    const logits = logitsOf([
      [0.75, 0.25],
      [0.625, 0.375],
    ]);
    expect(measure(logits, [[0], [0]]).regretCumulative).toBeCloseTo(0.375 / 2, 7);
    expect(measure(logits, [[0], [1]]).regretCumulative).toBeCloseTo(0.375 / 2, 7);
    expect(measure(logits, [[1], [0]]).regretCumulative).toBeCloseTo(0.625 / 2, 7);
  });

  it.each(routerKinds.map((kind) => [kind.kind, kind] as const))(
    "is for %s the optimum of HiGHS less a plain feasible score, and never negative",
    (name, kind) => {
      const accepted = cases.filter(({ shape }) => (kind.check?.(kind.options.parse({}), shape) ?? []).length === 0);
      fc.assert(
        fc.property(accepted, ({ shape, lastTokens, scores, seed }) => {
          const { experts, topK } = shape;
          const router = createRouterUnderTest(kind, shape, { kernels, scores });
          const measure = createMeter(kernels, shape, scores);
          let total = 0;
          for (const tokens of [shape.tokens, shape.tokens, Math.min(shape.tokens, lastTokens)]) {
            const logits = skewedLogits(`${seed}/${tokens}`, tokens, experts, 1.5);
            const { expert } = router.route(logits);
            const { regret, regretCumulative, optimumGap } = measure(logits, expert);
            expect(regret).toBeGreaterThanOrEqual(0);
            if (name === "base") expect(regret).toBe(0);
            expect(optimumGap).toBe(0);
            total += regret;
            expect(regretCumulative).toBe(total);

            const plain = affinities(toMatrix(logits, tokens, experts), scores);
            const capacity = expertCapacity(tokens, shape);
            const missed = highsOptimum(plain, topK, capacity) - plainFeasibleScore(plain, expert, topK, capacity);
            // HiGHS may miss its tolerance twice a pair; sums of at most 112 affinities below 1 are exact to 1e-13.
            expect(Math.abs(regret - missed / (tokens * topK))).toBeLessThan(2 * highsTolerance + 1e-13);
          }
        }),
        { seed: 1, numRuns: 12 },
      );
    },
  );

  it("is measured from the proven bound where a gap is allowed, which it names", () => {
    const shape = { tokens: 256, experts: 16, topK: 4, capacityFactor: 1 };
    const router = createRouterUnderTest("topk", shape, { kernels });
    const exactly = createMeter(kernels, shape, "softmax");
    const nearly = [1e-6, 1e-5, 1e-3].map((gap) => ({ gap, measure: createMeter(kernels, shape, "softmax", gap) }));
    // What rounding leaves of sums of 1024 numbers below 1, per pair.
    const rounding = 1e-13;
    let gaps = 0;
    for (let step = 0; step < 4; step++) {
      const logits = skewedLogits(`gap/${step}`, shape.tokens, shape.experts, 2);
      const { expert } = router.route(logits);
      const exact = exactly(logits, expert);
      expect(exact.optimumGap).toBe(0);
      for (const { gap, measure } of nearly) {
        const { regret, optimumGap } = measure(logits, expert);
        expect(optimumGap).toBeGreaterThanOrEqual(0);
        expect(optimumGap).toBeLessThanOrEqual(gap + rounding);
        expect(regret).toBeGreaterThanOrEqual(exact.regret - rounding);
        expect(regret - optimumGap).toBeLessThanOrEqual(exact.regret + rounding);
        if (optimumGap > 0) gaps += 1;
      }
    }
    expect(gaps).toBeGreaterThan(0);
  });

  it("falls from collapsed to entropic to exact routing", () => {
    const shape = { tokens: 128, experts: 8, topK: 2, capacityFactor: 1 };
    const logits = skewedLogits("collapse", shape.tokens, shape.experts, 3);
    const [collapsed, entropic, best] = ["topk", "sinkhorn", "base"].map((kind) => {
      const router = createRouterUnderTest(kind, shape, { kernels, scores: "softmax" });
      return createMeter(kernels, shape, "softmax")(logits, router.route(logits).expert).regret;
    });
    expect(collapsed).toBeGreaterThan(entropic);
    expect(entropic).toBeGreaterThan(best);
    expect(best).toBe(0);
  });
});
