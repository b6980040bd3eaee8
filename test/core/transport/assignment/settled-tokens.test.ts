import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { screenTokens } from "../../../../src/core/transport/assignment/settled-tokens.ts";
import { createScoreBlocks } from "../../../../src/core/transport/hindsight/score-batches.ts";
import { backends } from "../../../support/backends.ts";
import { largestIndices, sigmoid } from "../../../support/plain.ts";
import { normals } from "../../kernels/matrices.ts";

const [experts, topK, reach] = [6, 2, 0.1];
const batches = [1, 2].map((seed) => Float32Array.from(normals(seed, 50 * seed * experts), sigmoid));
const rows = batches.flatMap((scores) =>
  Array.from({ length: scores.length / experts }, (_, t) => ({
    scores: Array.from(scores.subarray(t * experts, (t + 1) * experts)),
    weight: experts / scores.length,
  })),
);

describe.each(backends)("the screening of tokens on $backend kernels", (kernels) => {
  const price = kernels.allocateFloat64(experts);
  price.set([0.1, 0, 0.05, 0.2, 0, 0.1]);
  const chosenAt = (scores: number[], prices: ArrayLike<number>) =>
    largestIndices(
      scores.map((score, e) => score - prices[e]),
      topK,
    ).sort();
  const all = createScoreBlocks(kernels, batches, experts);
  const { open, weights, settledLoad, settledScore } = screenTokens(
    kernels,
    all.every(1, null),
    experts,
    topK,
    price,
    reach,
  );
  const openRows = open.flatMap((scores) =>
    Array.from({ length: scores.length / experts }, (_, t) => String(scores.subarray(t * experts, (t + 1) * experts))),
  );
  const settled = rows.filter(({ scores }) => !openRows.includes(String(scores)));

  it("parts the tokens: every one is open or settled, with the weight of its batch", () => {
    expect(openRows.length + settled.length).toBe(rows.length);
    expect(Math.min(openRows.length, settled.length)).toBeGreaterThan(10);
    const openWeight = open.reduce((sum, scores, block) => sum + (weights[block] * scores.length) / experts, 0);
    const settledWeight = settled.reduce((sum, { weight }) => sum + weight, 0);
    // Two batches of equal weight; sums of float64.
    expect(openWeight + settledWeight).toBeCloseTo(2, 12);
  });

  it("settles those whose experts no change within reach can alter, and no others", () => {
    const random = createRandom("reach");
    for (let trial = 0; trial < 50; trial++) {
      const moved = Array.from(price, (p) => p + reach * random.uniform());
      for (const { scores } of settled) expect(chosenAt(scores, moved)).toEqual(chosenAt(scores, price));
    }
    for (const { scores } of rows.filter((row) => !settled.includes(row))) {
      const values = scores.map((score, e) => score - price[e]).sort((a, b) => b - a);
      expect(values[topK - 1] - values[topK]).toBeLessThanOrEqual(reach);
    }
  });

  it("sums up what the settled ones hold", () => {
    const load = new Array<number>(experts).fill(0);
    let total = 0;
    for (const { scores, weight } of settled) {
      for (const e of chosenAt(scores, price)) {
        load[e] += weight;
        total += weight * scores[e];
      }
    }
    for (let e = 0; e < experts; e++) expect(settledLoad[e]).toBeCloseTo(load[e], 12);
    expect(settledScore).toBeCloseTo(total, 12);
  });
});
