import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { findHindsightBias, type HindsightBias } from "../../../../src/core/transport/hindsight/hindsight-bias.ts";
import { backends } from "../../../support/backends.ts";
import { highsSharedOptimum } from "../../../support/highs.ts";
import { sigmoid, toMatrix } from "../../../support/plain.ts";
import { normals } from "../../kernels/matrices.ts";

const tolerance = 1e-6;

/** Sigmoids of normals that favour the first experts, `[tokens × experts]` a batch. */
function scoresOf(seed: number, tokens: number, experts: number): Float32Array {
  return Float32Array.from(normals(seed, tokens * experts), (z, i) => sigmoid(z - (2 * (i % experts)) / experts));
}

/** Σ_n f_n(b), by sorting. */
function plainValue(batches: readonly Float32Array[], experts: number, topK: number, bias: ArrayLike<number>): number {
  let total = 0;
  for (const scores of batches) {
    const tokens = scores.length / experts;
    for (let t = 0; t < tokens; t++) {
      const row = Array.from({ length: experts }, (_, e) => scores[t * experts + e] + bias[e]).sort((a, b) => b - a);
      total += row.slice(0, topK).reduce((a, b) => a + b) / tokens;
    }
    for (let e = 0; e < experts; e++) total -= (topK / experts) * bias[e];
  }
  return total;
}

function expectProven(found: HindsightBias, batches: readonly Float32Array[], experts: number, topK: number): void {
  expect(found.gap).toBeGreaterThanOrEqual(0);
  expect(found.gap).toBeLessThanOrEqual(tolerance);
  // Two float64 sums of the same terms.
  expect(Math.abs(found.value - plainValue(batches, experts, topK, found.bias))).toBeLessThan(1e-10);
  expect(Math.abs(found.bias.reduce((a, b) => a + b))).toBeLessThan(1e-12);
}

describe.each(backends)("the best bias in hindsight on $backend kernels", (kernels) => {
  it("is the median of the differences where one of two experts is chosen", () => {
    const batches = [scoresOf(1, 40, 2), scoresOf(2, 35, 2)];
    const found = findHindsightBias(kernels, batches, 2, 1, tolerance);
    expectProven(found, batches, 2, 1);
    // As max(x, y) − (x + y)/2 = |x − y|/2, the sum is half that of |S_0 − S_1 + b_0 − b_1|, each token weighing 1 / T_n,
    // but for a constant. The median of S_1 − S_0 is b_0 − b_1.
    const weighted = batches.flatMap((scores) =>
      Array.from({ length: scores.length / 2 }, (_, t) => ({
        gap: scores[2 * t + 1] - scores[2 * t],
        // T_n is half the length.
        weight: 2 / scores.length,
      })),
    );
    weighted.sort((a, b) => a.gap - b.gap);
    let last = -1;
    for (let below = 0; below < 1 - 1e-12; below += weighted[last].weight) last += 1;
    const least = plainValue(batches, 2, 1, [weighted[last].gap, 0]);
    expect(found.value).toBeGreaterThan(least - 1e-10);
    expect(found.value - least).toBeLessThanOrEqual(tolerance);
  });

  it("is the best of all corners of a tiny problem, where some optimum must be", () => {
    // Three experts: the convex function is piecewise linear in (b_0, b_1) with b_2 = 0, and its corners are crossings of
    // the lines S_te + b_e = S_tf + b_f.
    const batches = [scoresOf(3, 5, 3), scoresOf(4, 3, 3)];
    const rows = batches.flatMap((scores) =>
      Array.from({ length: scores.length / 3 }, (_, t) => Array.from(scores.subarray(3 * t, 3 * t + 3))),
    );
    const first = rows.map(([a, , c]) => c - a);
    const second = rows.map(([, b, c]) => c - b);
    const difference = rows.map(([a, b]) => b - a);
    const corners = [
      ...first.flatMap((x) => second.map((y) => [x, y, 0])),
      ...first.flatMap((x) => difference.map((d) => [x, x - d, 0])),
      ...second.flatMap((y) => difference.map((d) => [y + d, y, 0])),
    ];
    for (const topK of [1, 2]) {
      const least = Math.min(...corners.map((corner) => plainValue(batches, 3, topK, corner)));
      const found = findHindsightBias(kernels, batches, 3, topK, tolerance);
      expectProven(found, batches, 3, topK);
      expect(found.value).toBeGreaterThan(least - 1e-10);
      expect(found.value - least).toBeLessThanOrEqual(found.gap + 1e-12);
    }
  });

  it("is proven for many experts and batches of different lengths", () => {
    for (const [experts, topK] of [
      [16, 4],
      [12, 11],
      [7, 1],
    ]) {
      const batches = [scoresOf(5, 60, experts), scoresOf(6, 60, experts), scoresOf(7, 13, experts)];
      expectProven(findHindsightBias(kernels, batches, experts, topK, tolerance), batches, experts, topK);
    }
  });

  it("is zero, exactly, where every token has every expert", () => {
    for (const experts of [1, 3]) {
      const batches = [scoresOf(8, 6, experts), scoresOf(9, 4, experts)];
      const found = findHindsightBias(kernels, batches, experts, experts, tolerance);
      expectProven(found, batches, experts, experts);
      expect(found.gap).toBe(0);
      expect(Array.from(found.bias)).toEqual(new Array(experts).fill(0));
    }
  });

  it("is proven where tokens are equal and everything is tied", () => {
    const row = [0.9, 0.5, 0.4, 0.1];
    const batches = [Float32Array.from({ length: 80 }, (_, i) => row[i % 4]), new Float32Array(40).fill(0.5)];
    expectProven(findHindsightBias(kernels, batches, 4, 2, tolerance), batches, 4, 2);
  });

  it("agrees with HiGHS on runs of few tokens, in which most experts are nobody's next choice", () => {
    const random = createRandom("few tokens");
    const upTo = (most: number) => 1 + Math.floor(most * random.uniform());
    for (let run = 0; run < 25; run++) {
      const experts = 1 + upTo(31);
      const topK = upTo(Math.min(5, experts - 1));
      const batches = Array.from({ length: upTo(3) }, (_, n) => scoresOf(100 * run + n, upTo(50), experts));
      const found = findHindsightBias(kernels, batches, experts, topK, tolerance);
      const rows = batches.flatMap((scores) => toMatrix(scores, scores.length / experts, experts));
      const weights = batches.flatMap((scores) =>
        new Array<number>(scores.length / experts).fill(experts / scores.length),
      );
      const optimum = highsSharedOptimum(rows, weights, topK, (batches.length * topK) / experts);
      // HiGHS keeps its constraints to 1e-7 each, at scores up to 1.
      expect(found.value - optimum).toBeGreaterThan(-1e-6);
      expect(found.value - optimum).toBeLessThan(tolerance + 1e-6);
      // In a run in a thousand rounding keeps the proof from the last digit.
      expect(found.gap).toBeLessThan(2e-5);
    }
  });
});
