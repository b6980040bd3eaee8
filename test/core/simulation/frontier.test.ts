import { writeFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../src/core/kernels/index.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { type FrontierStep, frontierSteps } from "../../../src/core/simulation/frontier.ts";
import { bruteForceOptimum } from "../../support/brute-force.ts";
import { highsOptimum, highsTolerance } from "../../support/highs.ts";
import { npyBytes } from "../../support/npy.ts";
import { affinities, largestIndices, type Matrix, toMatrix } from "../../support/plain.ts";
import { temporaryFolder } from "../../support/program.ts";
import { randomLogits, skewedLogits } from "../../support/random-logits.ts";

const defaultFactors = [1, 1.05, 1.1, 1.25, 1.5, 2];

interface Asked {
  readonly topK?: number;
  readonly factors?: readonly number[];
  readonly routers?: readonly object[];
  readonly every?: number;
  readonly gap?: number;
  readonly fields?: object;
}

/** The frontier of recorded `logits` of some shape. */
async function frontierOf(
  shape: readonly number[],
  logits: ArrayLike<number>,
  { topK = 2, factors = defaultFactors, routers = [{ kind: "topk" }], every = 1, gap = 0, fields }: Asked = {},
): Promise<FrontierStep[]> {
  const file = path.join(temporaryFolder(), "logits.npy");
  writeFileSync(file, npyBytes([...shape], Array.from(logits)));
  const written = { name: "f", topK, stream: { kind: "trace", path: file }, routers, ...fields };
  const scenario = await resolveScenario(written, "test");
  const steps = [];
  const kernels = createKernels();
  const positions = Array.from(routers.keys());
  for await (const step of frontierSteps(scenario, { kernels, factors, every, gap, routers: positions })) {
    steps.push(step);
  }
  return steps;
}

/** What plain top-k scores per pair, and its largest load, by a full sort. */
function topKOf(scores: Matrix, topK: number): { score: number; largestLoad: number } {
  const load = new Array<number>(scores[0].length).fill(0);
  let total = 0;
  for (const row of scores) {
    for (const e of largestIndices(row, topK)) {
      total += row[e];
      load[e] += 1;
    }
  }
  return { score: total / (scores.length * topK), largestLoad: Math.max(...load) };
}

describe("the frontier of a batch", () => {
  it("is the best of all assignments, tried one by one, at every capacity", async () => {
    const [tokens, experts] = [5, 3];
    for (const topK of [1, 2, 3]) {
      for (const scores of ["softmax", "sigmoid"] as const) {
        const logits = skewedLogits(`brute ${topK}`, tokens, experts, 3);
        const [step] = await frontierOf([tokens, experts], logits, { topK, fields: { scores } });
        const matrix = affinities(toMatrix(logits, tokens, experts), scores);
        defaultFactors.forEach((factor, i) => {
          const capacity = Math.ceil((factor * tokens * topK) / experts);
          expect(step.optima[i].capacity).toBe(capacity);
          const best = bruteForceOptimum(matrix, topK, capacity) / (tokens * topK);
          expect(step.optima[i].score).toBeCloseTo(best, 12);
          expect(step.optima[i].upperBound).toBe(step.optima[i].score);
        });
        expect(step.unbounded).toBeCloseTo(topKOf(matrix, topK).score, 12);
      }
    }
  });

  it("is what HiGHS finds on larger batches", async () => {
    const [steps, tokens, experts, topK] = [2, 60, 8, 3];
    const logits = skewedLogits("highs", steps * tokens, experts, 2);
    const found = await frontierOf([steps, tokens, experts], logits, { topK });
    for (const { step, optima } of found) {
      const batch = toMatrix(logits.subarray(step * tokens * experts), tokens, experts);
      const matrix = affinities(batch, "softmax");
      for (const { capacity, score } of optima) {
        const best = highsOptimum(matrix, topK, capacity) / (tokens * topK);
        expect(Math.abs(score - best)).toBeLessThan(2 * highsTolerance + 1e-12);
      }
    }
  });

  it("never falls as the capacity rises, and is plain top-k's score itself where top-k fits", async () => {
    const sizes = fc.record({
      tokens: fc.integer({ min: 1, max: 40 }),
      experts: fc.integer({ min: 1, max: 9 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      skew: fc.integer({ min: 0, max: 4 }),
      seed: fc.nat(),
    });
    const factors = [1, 1.05, 1.1, 1.25, 1.5, 2, 3, 5, 9];
    await fc.assert(
      fc.asyncProperty(sizes, async ({ tokens, experts, share, skew, seed }) => {
        const topK = Math.max(1, Math.round(share * experts));
        const logits = skewedLogits(`${seed}`, tokens, experts, skew);
        const [{ optima, unbounded, freeFactor, routers }] = await frontierOf([tokens, experts], logits, {
          topK,
          factors,
        });
        const { largestLoad } = topKOf(affinities(toMatrix(logits, tokens, experts), "softmax"), topK);
        const needed = (largestLoad * experts) / (tokens * topK);
        expect(freeFactor).toBeCloseTo(needed, 12);
        expect(routers[0].capacityFactor).toBeCloseTo(needed, 12);
        expect(routers[0].score).toBe(unbounded);
        expect(routers[0].upperBound).toBe(unbounded);
        optima.forEach(({ score, upperBound }, i) => {
          expect(upperBound).toBe(score);
          expect(score).toBeLessThanOrEqual(unbounded);
          if (i > 0) expect(score).toBeGreaterThanOrEqual(optima[i - 1].score - 1e-13);
          if (factors[i] >= needed) expect(score).toBe(unbounded);
        });
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  it("costs nothing if every token has every expert, or there is one token", async () => {
    const [all] = await frontierOf([7, 4], skewedLogits("all", 7, 4, 5), { topK: 4 });
    expect(all.freeFactor).toBe(1);
    for (const { score, unassigned } of all.optima)
      expect({ score, unassigned }).toEqual({ score: 0.25, unassigned: 0 });
    const [one] = await frontierOf([1, 8], randomLogits("one", 1, 8), { topK: 2 });
    for (const { score, capacity } of one.optima)
      expect({ score, capacity }).toEqual({ score: one.unbounded, capacity: 1 });
  });

  it("counts only the pairs and experts that are enabled", async () => {
    const [tokens, experts] = [6, 4];
    const logits = skewedLogits("disabled", tokens, experts, 2);
    // Nobody has expert 3; token 0 has expert 0 alone.
    for (let token = 0; token < tokens; token++) logits[token * experts + 3] = -Infinity;
    logits[1] = logits[2] = -Infinity;
    const [step] = await frontierOf([tokens, experts], logits, { topK: 2, factors: [1, 3] });
    expect(step.pairs).toBe(11);
    // ⌈11 / 3⌉ of three experts.
    expect(step.optima[0].capacity).toBe(4);
    const matrix = affinities(toMatrix(logits, tokens, experts), "softmax").map((row, t) =>
      row.map((score, e) => (logits[t * experts + e] === -Infinity ? -1 : score)),
    );
    expect(step.optima[0].score).toBeCloseTo(bruteForceOptimum(matrix, 2, 4) / 11, 12);
    expect(step.optima[1].score).toBe(step.unbounded);
    expect(step.optima[1].unassigned).toBe(0);
  });

  it("says what share of the pairs the best assignment leaves out", async () => {
    // Tokens 1 and 2 want experts 1 and 2 so much that expert 0 is left with a seat that token 0 cannot fill twice.
    const logits = [9, 0, 0, -9, 5, 5, -9, 5, 5];
    const [{ optima }] = await frontierOf([3, 3], logits, { topK: 2, factors: [1, 1.5] });
    expect(optima[0].unassigned).toBeCloseTo(1 / 6, 12);
    expect(optima[1].unassigned).toBe(0);
  });

  it("reports the distance from the bound if it may stop before the optimum", async () => {
    const logits = skewedLogits("gap", 300, 16, 3);
    const [exact] = await frontierOf([300, 16], logits);
    const [near] = await frontierOf([300, 16], logits, { gap: 0.01 });
    near.optima.forEach(({ score, upperBound }, i) => {
      expect(upperBound - score).toBeLessThanOrEqual(0.01);
      expect(score).toBeLessThanOrEqual(exact.optima[i].score + 1e-13);
      expect(upperBound).toBeGreaterThanOrEqual(exact.optima[i].score - 1e-13);
    });
  });

  it("places each router, which never scores more than the best with its largest load", async () => {
    const [steps, tokens, experts] = [3, 64, 8];
    const routers = [
      { kind: "topk" },
      { kind: "base" },
      { kind: "alf-lb", updateRate: 0.05 },
      { kind: "expert-choice" },
      { kind: "expert-threshold" },
      { kind: "random" },
    ];
    const logits = skewedLogits("routers", steps * tokens, experts, 2);
    const found = await frontierOf([steps, tokens, experts], logits, { routers, fields: { scores: "softmax" } });
    expect(found).toHaveLength(steps);
    for (const { routers: places, optima, unbounded } of found) {
      const [topk, base, , choice] = places;
      expect(topk.score).toBe(unbounded);
      // ⌈64 · 2 / 8⌉ = 16: the best of all assignments is one of them.
      expect(base).toMatchObject({ capacityFactor: 1, score: optima[0].score, upperBound: optima[0].score });
      expect(choice).toMatchObject({ capacityFactor: 1, maxVio: 0, upperBound: optima[0].score });
      for (const { score, upperBound, capacityFactor } of places) {
        expect(score).toBeLessThanOrEqual(upperBound);
        expect(capacityFactor).toBeGreaterThanOrEqual(1 - 1e-12);
      }
      for (const { capacityFactor, maxVio } of [topk, base, places[5]])
        expect(maxVio).toBeCloseTo(capacityFactor - 1, 12);
    }
  });

  it("measures one step of each stratum, the same as regret does, and leaves empty steps out", async () => {
    const [steps, tokens, experts] = [9, 8, 4];
    const logits = randomLogits("every", steps * tokens, experts);
    const all = await frontierOf([steps, tokens, experts], logits, { routers: [{ kind: "alf-lb" }] });
    const some = await frontierOf([steps, tokens, experts], logits, { routers: [{ kind: "alf-lb" }], every: 4 });
    expect(some).toHaveLength(3);
    expect(some.map(({ step }) => Math.floor(step / 4))).toEqual([0, 1, 2]);
    for (const step of some) expect(step).toEqual(all[step.step]);
    logits.fill(-Infinity, 2 * tokens * experts, 3 * tokens * experts);
    const withEmpty = await frontierOf([steps, tokens, experts], logits, { routers: [{ kind: "alf-lb" }] });
    expect(withEmpty.map(({ step }) => step)).toEqual([0, 1, 3, 4, 5, 6, 7, 8]);
  });
});
