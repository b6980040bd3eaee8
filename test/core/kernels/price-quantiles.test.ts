import { describe, expect, it } from "vitest";
import { type ScoreKind, scoreKinds } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createPriceExcess } from "../../../src/core/routers/quantile.ts";
import { backends } from "../../support/backends.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { float32, float64 } from "./matrices.ts";

const [reference, wasm] = backends;

interface Batch {
  readonly logits: Float32Array;
  readonly bias: ArrayLike<number>;
  readonly topK: number;
  readonly kind: ScoreKind;
}

/** The quantiles of a batch at each rank, with what the selection left for them. */
function quantilesOf(kernels: Kernels, { logits, bias, topK, kind }: Batch, ranks: readonly number[]) {
  const experts = bias.length;
  const tokens = logits.length / experts;
  const excess = createPriceExcess(kernels, tokens, experts, topK);
  const [own, biases] = [float32(kernels, logits), float64(kernels, bias)];
  const [expert, load] = [kernels.allocateInt32(tokens * topK), kernels.allocateInt32(experts)];
  kernels.selectByPrice(own, kind, biases, tokens, experts, topK, expert, load, excess);
  const out = kernels.allocateFloat64(experts);
  const quantiles = ranks.map((rank) => {
    kernels.priceQuantiles(own, kind, biases, excess, tokens, experts, topK, rank, out);
    return Array.from(out);
  });
  return { excess, expert: Array.from(expert), load: Array.from(load), next: Array.from(excess.next), quantiles };
}

const largestDifference = (a: readonly number[], b: readonly number[]) =>
  a.reduce((largest, value, i) => (value === b[i] ? largest : Math.max(largest, Math.abs(value - b[i]))), 0);

describe.each(backends)("the price quantiles of the $backend kernels", (kernels) => {
  it("are the closed form of two tokens, with the price of the expert that a token misses by least", () => {
    // S + b = (3, 2, 1) and (1, 2.5, 0), α = 2 and 1.
    const batch = { logits: Float32Array.of(3, 1, 1, 1, 1.5, 0), bias: [0, 1, 0], topK: 1, kind: "logits" } as const;
    const { next, load, quantiles } = quantilesOf(kernels, batch, [1, 2]);
    expect(next).toEqual([1, 0]);
    expect(load).toEqual([1, 1, 0]);
    expect(quantiles).toEqual([
      [1, 0.5, -1],
      [0, -1, -1],
    ]);
  });
});

describe("the price quantiles of the WebAssembly kernels against the reference", () => {
  it.each(scoreKinds)("agree along the prices that they lead to, from %s", (kind) => {
    const [tokens, experts, topK] = [700, 40, 4];
    const share = (tokens * topK) / experts;
    const ranks = [share + 1, 1, 2 * share, 5 * share, tokens];
    let bias = new Array<number>(experts).fill(0);
    let listed = 0;
    for (let step = 0; step < 4; step++) {
      const batch = { logits: skewedLogits(`prices ${step}`, tokens, experts, 1), bias, topK, kind };
      const [expected, actual] = [reference, wasm].map((kernels) => quantilesOf(kernels, batch, ranks));
      expect(actual.expert).toEqual(expected.expert);
      expect(actual.next).toEqual(expected.next);
      // Roundings of affinities and logits up to 10, and of sums over 40 experts.
      actual.quantiles.forEach((own, i) => {
        expect(largestDifference(own, expected.quantiles[i])).toBeLessThan(1e-14);
      });
      expect(actual.excess.reach[0]).toBeGreaterThan(0);
      listed += actual.excess.count.filter((count) => count >= ranks[0] && count <= actual.excess.room).length;
      const mean = expected.quantiles[0].reduce((sum, value) => sum + value, 0) / experts;
      bias = expected.quantiles[0].map((price) => mean - price);
    }
    // Of 160 lists most hold their quantile, and some do not, so that both ways are compared.
    expect(listed).toBeGreaterThan(60);
    expect(listed).toBeLessThan(155);
  });

  it("agree where experts are disabled or tokens are few or the same", () => {
    const none = Number.NEGATIVE_INFINITY;
    const masked = skewedLogits("masked", 90, 12, 1).map((z, i) => (i % 7 === 0 || (i < 120 && i % 12 > 1) ? none : z));
    const equal = Float32Array.from({ length: 64 * 16 }, (_, i) => (i % 16) / 8);
    const cases = [
      { logits: masked, bias: Array.from({ length: 12 }, (_, e) => e / 50), topK: 3 },
      { logits: skewedLogits("few", 5, 12, 1), bias: new Array<number>(12).fill(0.1), topK: 3 },
      { logits: equal, bias: new Array<number>(16).fill(0), topK: 4 },
    ];
    for (const batch of cases) {
      for (const kind of scoreKinds) {
        const ranks = [1, 2, 5];
        const [expected, actual] = [reference, wasm].map((kernels) => quantilesOf(kernels, { ...batch, kind }, ranks));
        expect(actual.next).toEqual(expected.next);
        actual.quantiles.forEach((own, i) => {
          expect(largestDifference(own, expected.quantiles[i])).toBeLessThan(1e-14);
        });
      }
    }
  });
});
