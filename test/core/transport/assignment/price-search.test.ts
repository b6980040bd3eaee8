import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../../src/core/kernels/kernels.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { createPriceSearch } from "../../../../src/core/transport/assignment/price-search.ts";
import { createTopKDual } from "../../../../src/core/transport/hindsight/topk-dual.ts";
import { backends } from "../../../support/backends.ts";

const [, wasm] = backends;

interface Case {
  readonly tokens: number;
  readonly experts: number;
  readonly topK: number;
  readonly capacity: number;
  /** Given a standard normal of its own. */
  readonly logit: (token: number, expert: number, noise: number) => number;
}

function scoresOf(kernels: Kernels, { tokens, experts, logit }: Case): Float64Array {
  const random = createRandom("price search");
  const logits = kernels.allocateFloat32(tokens * experts);
  for (let i = 0; i < logits.length; i++) logits[i] = logit(Math.floor(i / experts), i % experts, random.normal());
  const scores = kernels.allocateFloat64(tokens * experts);
  kernels.affinities(logits, "softmax", tokens, experts, scores);
  return scores;
}

function search(kernels: Kernels, problem: Case, price = new Float64Array(problem.experts), isWarm = false) {
  const { tokens, experts, topK, capacity } = problem;
  const scores = scoresOf(kernels, problem);
  const report = createPriceSearch(kernels, tokens, experts, topK).improve(scores, tokens, capacity, price, isWarm);
  return { ...report, price, scores };
}

/** Each token's K best experts at the prices, those above 0, by a full sort: how far the loads pass the capacity, and D. */
function plainDual(scores: Float64Array, price: Float64Array, { tokens, experts, topK, capacity }: Case) {
  const load = new Array<number>(experts).fill(0);
  let value = capacity * price.reduce((a, b) => a + b, 0);
  for (let t = 0; t < tokens; t++) {
    const row = Array.from(price, (p, e) => scores[t * experts + e] - p);
    const order = row.map((_, e) => e).sort((a, b) => row[b] - row[a] || a - b);
    for (const e of order.slice(0, topK)) {
      if (row[e] <= 0) continue;
      load[e] += 1;
      value += row[e];
    }
  }
  return { value, overload: load.reduce((sum, l) => sum + Math.max(0, l - capacity), 0) };
}

const usual: Case = {
  tokens: 1024,
  experts: 32,
  topK: 4,
  capacity: 128,
  logit: (_, e, noise) => noise - e / 16,
};

describe.each(backends)("the price search on $backend kernels", (kernels) => {
  it("ends with an overload of at most a pair an expert, and says truly what it found", () => {
    const { price, scores, overload, bound } = search(kernels, usual);
    const plain = plainDual(scores, price, usual);
    expect(overload).toBe(plain.overload);
    expect(overload).toBeLessThanOrEqual(usual.experts);
    expect(Math.abs(bound - plain.value)).toBeLessThan(1e-9);
    // Without prices the favourites are far over.
    expect(plainDual(scores, new Float64Array(usual.experts), usual).overload).toBeGreaterThan(500);
  });

  it("finds two experts' price, at which half of the tokens prefer the dearer one", () => {
    // Softmax of (z, 0) with z = 1 + t/100: the price is S_0 − S_1 between the two middle tokens.
    const tokens = 100;
    const two: Case = { tokens, experts: 2, topK: 1, capacity: 50, logit: (t, e) => (e === 0 ? 1 + t / 100 : 0) };
    const { price, scores } = search(kernels, two);
    const gap = (t: number) => scores[2 * t] - scores[2 * t + 1];
    // A random load is off by √C, and the search ends when E tokens are over.
    expect(price[0] - price[1]).toBeGreaterThan(gap(49 - 2));
    expect(price[0] - price[1]).toBeLessThan(gap(50 + 2));
  });
});

describe("the price search", () => {
  it("brings D within a millionth of its minimum, by which no subgradient step is lower", () => {
    const { price, scores, bound } = search(wasm, usual);
    // A long run of plain subgradient steps from there, each over all tokens.
    let lowest = bound;
    const moved = price.slice();
    const load = new Float64Array(usual.experts);
    const dual = createTopKDual(wasm, usual.experts, usual.topK, 1);
    const threshold = wasm.allocateFloat64(usual.tokens).fill(Number.NaN);
    const capacity = new Float64Array(usual.experts).fill(usual.capacity);
    dual.pose({ blocks: [{ scores, tokens: usual.tokens, threshold, weight: 1 }], capacity, floor: 0 }, 1);
    for (let n = 1; n <= 300; n++) {
      lowest = Math.min(lowest, dual.exact(moved, load));
      load.forEach((l, e) => {
        moved[e] = Math.max(0, moved[e] + (1e-6 / n) * (l - usual.capacity));
      });
    }
    expect(bound - lowest).toBeLessThan(1e-6 * bound);
  });

  it("goes on from the prices of another batch in few walks over all tokens", () => {
    const cold = search(wasm, { ...usual, tokens: 4096, capacity: 512 });
    const other: Case = { ...usual, tokens: 4096, capacity: 512, logit: (_, e, noise) => noise * 1.01 - e / 16 };
    const warm = search(wasm, other, cold.price.slice(), true);
    expect(warm.overload).toBeLessThanOrEqual(usual.experts);
    expect(warm.evaluations).toBeLessThan(60);
  });

  it("has no prices where the capacity binds nowhere", () => {
    const { price, overload } = search(wasm, { ...usual, capacity: usual.tokens });
    expect(Array.from(price)).toEqual(new Array(usual.experts).fill(0));
    expect(overload).toBe(0);
  });

  const hard: Record<string, Case> = {
    "collapsed gates": { ...usual, logit: (_, e, noise) => noise + (e < 4 ? 12 : 0) },
    "gates over many magnitudes": { ...usual, logit: (_, e, noise) => noise - e },
    "equal rows": { ...usual, logit: (_, e) => Math.sin(e) },
    "equal scores": { ...usual, logit: () => 1 },
    "certain rows": { ...usual, logit: (_, __, noise) => 1000 * noise },
    "a capacity of twice the mean": { ...usual, capacity: 256 },
    "a capacity of 1.25 times the mean": { ...usual, capacity: 160 },
    "as many choices as experts": { ...usual, topK: 32, capacity: 1024 },
    "one expert": { ...usual, experts: 1, topK: 1, capacity: 1024 },
    "one token": { ...usual, tokens: 1, capacity: 1 },
    "fewer tokens than experts": { ...usual, tokens: 8, capacity: 1 },
  };
  it.each(Object.entries(hard))("returns finite non-negative prices that bound the score: %s", (_, problem) => {
    const { price, scores, bound, overload, evaluations } = search(wasm, problem);
    expect(price.every((p) => p >= 0 && p < 2)).toBe(true);
    const plain = plainDual(scores, price, problem);
    expect(Math.abs(bound - plain.value)).toBeLessThan(1e-9 * (1 + bound));
    expect(overload).toBe(plain.overload);
    // The budget of 250 and one level more.
    expect(evaluations).toBeLessThan(600);
    const free = plainDual(scores, new Float64Array(problem.experts), problem);
    // No worse than no prices at all, but for what the smoothing of the level it ended on may have cost.
    expect(bound).toBeLessThan(free.value * (1 + 1e-4));
  });
});
