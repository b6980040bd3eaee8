import { describe, expect, it } from "vitest";
import type { ScoreKind } from "../../../src/core/assignment.ts";
import { findRouterKind } from "../../../src/core/routers/index.ts";
import { backends } from "../../support/backends.ts";
import {
  affinities,
  byValue,
  countLoad,
  largestDifference,
  largestIndices,
  type Matrix,
  normalised,
  toMatrix,
} from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

interface TwinOptions {
  readonly ema?: number;
  readonly apply?: "next" | "same";
  readonly iterations?: number;
  readonly histogramBins?: number;
  readonly updateEvery?: number;
}

/** The `rank`-th largest, counted from 1. */
function ranked(values: readonly number[], rank: number): number {
  return values[[...values.keys()].sort(byValue(values))[rank - 1]];
}

/** β̂ of one batch at prices β, by sorting. */
function estimate(scores: Matrix, price: readonly number[], topK: number, bins: number): number[] {
  const rank = Math.floor((scores.length * topK) / price.length) + 1;
  const alpha = scores.map((row) =>
    ranked(
      row.map((value, e) => value - price[e]),
      topK + 1,
    ),
  );
  if (bins === 0) {
    return price.map((_, e) =>
      ranked(
        scores.map((row, t) => row[e] - alpha[t]),
        rank,
      ),
    );
  }
  const low = Math.min(...price.map((value) => -value)) - 1;
  const width = (Math.max(...price.map((value) => -value)) + 1 - low) / bins;
  return price.map((_, e) => {
    const places = scores.map((row, t) =>
      Math.min(bins - 1, Math.max(0, Math.floor((alpha[t] - row[e] - low) / width))),
    );
    return -(low + (places.sort((a, b) => a - b)[rank - 1] + 0.5) * width);
  });
}

/** Quantile balancing in plain float64: the choice of each batch and the prices after it. */
function twin(batches: Matrix[], scores: ScoreKind, topK: number, options: TwinOptions) {
  const { ema = 0, apply = "next", iterations = 4, histogramBins = 0, updateEvery = 1 } = options;
  const experts = batches[0][0].length;
  let price = new Array<number>(experts).fill(0);
  let pending: Matrix = [];
  const chosen: Matrix = [];
  const prices: Matrix = [];
  const move = (target: number[]) => {
    const moved = price.map((value, e) => ema * value + (1 - ema) * target[e]);
    const mean = moved.reduce((sum, value) => sum + value, 0) / experts;
    price = moved.map((value) => value - mean);
  };
  for (const batch of batches) {
    const affinity = affinities(batch, scores);
    if (apply === "same") {
      for (let i = 0; i < iterations; i++) move(estimate(affinity, price, topK, histogramBins));
    }
    const before = price;
    chosen.push(
      ...affinity.map((row) =>
        largestIndices(
          row.map((value, e) => value - before[e]),
          topK,
        ),
      ),
    );
    if (apply === "next") {
      pending.push(estimate(affinity, price, topK, histogramBins));
      if (pending.length === updateEvery) {
        move(price.map((_, e) => pending.reduce((sum, row) => sum + row[e], 0) / updateEvery));
        pending = [];
      }
    }
    prices.push(price);
  }
  return { chosen, prices };
}

const shape = { tokens: 40, experts: 12, topK: 3, capacityFactor: 1 };
const steps = 60;
const batches = Array.from({ length: steps }, (_, step) =>
  skewedLogits(`quantile ${step}`, step === steps - 1 ? 23 : shape.tokens, shape.experts, 1.5),
);
const rows = batches.map((batch) => toMatrix(batch, batch.length / shape.experts, shape.experts));
const variants: (TwinOptions & { scores: ScoreKind })[] = [
  { scores: "softmax" },
  { scores: "sigmoid", ema: 0.7 },
  { scores: "logits", updateEvery: 3 },
  { scores: "sqrt-softplus", apply: "same" },
  { scores: "softmax", apply: "same", iterations: 1, ema: 0.5 },
  { scores: "sigmoid", histogramBins: 64 },
  { scores: "logits", histogramBins: 1000, ema: 0.2, updateEvery: 2 },
];

/** Expects the experts `chosen` of each token, or others with the same keys to within a few roundings. */
function expectSameChoice(decided: Matrix, chosen: Matrix, keys: Matrix): void {
  expect(decided.length).toBe(chosen.length);
  let ties = 0;
  decided.forEach((row, token) => {
    if (String(row) === String(chosen[token])) return;
    ties += 1;
    const [own, expected] = [row, chosen[token]].map((experts) => experts.map((e) => keys[token][e]));
    expect(largestDifference([own], [expected])).toBeLessThan(1e-14);
  });
  // One token an expert and batch can be such a tie.
  expect(ties).toBeLessThanOrEqual(steps * shape.experts);
}

function priceOf(state: object): number[] {
  return (state as { price: number[] }).price;
}

describe.each(backends)("quantile on $backend kernels", (kernels) => {
  it.each(variants)("is the rule in plain float64 over 60 batches: %o", ({ scores, ...options }) => {
    const { chosen, prices } = twin(rows, scores, shape.topK, options);
    const { route, router } = createRouterUnderTest("quantile", shape, { options, scores, kernels });
    const decided: Matrix = [];
    const keys: Matrix = [];
    batches.forEach((batch, step) => {
      const before = options.apply === "same" ? prices[step] : (prices[step - 1] ?? new Array(shape.experts).fill(0));
      const { expert, gate, load } = route(batch);
      decided.push(...expert);
      keys.push(...affinities(rows[step], scores).map((row) => row.map((value, e) => value - before[e])));
      expect(load).toEqual(countLoad(expert, shape.experts));
      // A few roundings of numbers of the size of the logits.
      expect(largestDifference([priceOf(router.state())], [prices[step]])).toBeLessThan(1e-13);
      expect(largestDifference([Array.from(router.bias!)], [priceOf(router.state()).map((value) => -value)])).toBe(0);
      if (scores === "logits") return;
      const affinity = affinities(rows[step], scores);
      const expected = expert.map((row, token) => normalised(row.map((e) => affinity[token][e])));
      expect(largestDifference(gate, expected)).toBeLessThan(2e-6);
    });
    // A token whose S_te − α_t is an expert's price has two experts with the same S − β but for the rounding of S.
    expectSameChoice(decided, chosen, keys);
  });

  it.each(["softmax", "sigmoid", "logits", "sqrt-softplus"] as const)(
    "is the rule in batches of thousands of tokens, whose quantiles are looked for in a sample first: %s",
    (scores) => {
      // The last one is of equal rows, so that all of a column is tied.
      const large = { tokens: 5003, experts: 21, topK: 2, capacityFactor: 1 };
      const own = [1, 2, 3].map((seed) => skewedLogits(`large ${seed}`, large.tokens, large.experts, 1.5));
      own[2].forEach((_, i) => {
        own[2][i] = own[2][i % large.experts];
      });
      const { prices } = twin(
        own.map((batch) => toMatrix(batch, large.tokens, large.experts)),
        scores,
        large.topK,
        {},
      );
      const { route, router } = createRouterUnderTest("quantile", large, { scores, kernels });
      own.forEach((batch, step) => {
        route(batch);
        expect(largestDifference([priceOf(router.state())], [prices[step]])).toBeLessThan(1e-13);
      });
    },
  );

  it("brings loads of (4, 3, 1, 0) to (2, 2, 2, 2)", () => {
    // Two experts for each of four tokens. α, the third largest of each row, is 5, 8, 3, 8, so that S − α is by columns
    // (6, 0, 4, 4), (0, 3, 8, 0), (−3, 0, 0, 1), (0, −6, −3, −8). The third largest are 4, 0, 0, −6, less their mean −½.
    const logits = Float32Array.of(...[11, 5, 2, 5], ...[8, 11, 8, 2], ...[7, 11, 3, 0], ...[12, 8, 9, 0]);
    const square = { tokens: 4, experts: 4, topK: 2, capacityFactor: 1 };
    const { route, router } = createRouterUnderTest("quantile", square, { kernels, scores: "logits" });
    expect(route(logits).load).toEqual([4, 3, 1, 0]);
    expect(priceOf(router.state())).toEqual([4.5, 0.5, 0.5, -5.5]);
    expect(route(logits).load).toEqual([2, 2, 2, 2]);
  });

  it("does not move where every token has every expert", () => {
    const all = { tokens: 9, experts: 3, topK: 3, capacityFactor: 1 };
    for (const apply of ["next", "same"]) {
      const { route, router } = createRouterUnderTest("quantile", all, { kernels, options: { apply } });
      expect(route(skewedLogits("all", 9, 3, 1)).load).toEqual([9, 9, 9]);
      expect(priceOf(router.state())).toEqual([0, 0, 0]);
    }
  });

  it("balances a skewed stream that top-k leaves unbalanced", () => {
    const { route } = createRouterUnderTest("quantile", shape, { kernels });
    const [own, plain] = [new Array<number>(shape.experts).fill(0), new Array<number>(shape.experts).fill(0)];
    batches.slice(0, -1).forEach((batch, step) => {
      const { load } = route(batch);
      const chosen = rows[step].map((row) => largestIndices(row, shape.topK));
      if (step < 5) return;
      countLoad(chosen, shape.experts).forEach((count, e) => {
        own[e] += load[e];
        plain[e] += count;
      });
    });
    const maxVio = (load: number[]) => (Math.max(...load) * shape.experts) / load.reduce((a, b) => a + b) - 1;
    expect(maxVio(plain)).toBeGreaterThan(0.8);
    expect(maxVio(own)).toBeLessThan(0.1);
  });

  it("balances the enabled experts among themselves", () => {
    const square = { tokens: 60, experts: 5, topK: 2, capacityFactor: 1 };
    const logits = skewedLogits("disabled", 60, 5, 1.5).map((z, i) => (i % 5 === 2 ? -Infinity : z));
    const options = { apply: "same", iterations: 30 };
    const { route, router } = createRouterUnderTest("quantile", square, { kernels, options, scores: "sigmoid" });
    const { load } = route(logits);
    expect(load[2]).toBe(0);
    // 120 pairs on four experts. Where the prices settle, each is the price at which some tokens tie, which lower experts get.
    for (const e of [0, 1, 3, 4]) expect(Math.abs(load[e] - 30)).toBeLessThanOrEqual(3);
    expect(priceOf(router.state())[2]).toBe(0);
  });
});

describe("ties that prices make", () => {
  const scoreKinds = ["softmax", "sigmoid", "logits", "sqrt-softplus"] as const;
  // Prices taken from a batch of equal rows make all experts equal in each of them, but for rounding.
  const equalRows = scoreKinds.flatMap((scores) => [1, 17, 64].map((tokens) => ({ scores, tokens })));
  const experts = 13;
  const topK = 3;
  const lowest = [0, 1, 2];

  function equalTokens(tokens: number, seed: number): Float32Array {
    const row = skewedLogits(`ties ${seed}`, 1, experts, 2);
    return Float32Array.from({ length: tokens * experts }, (_, i) => row[i % experts]);
  }

  describe.each(backends)("on $backend kernels", (kernels) => {
    it.each(equalRows)("go to the lowest indices of the same batch: $scores, $tokens tokens", ({ scores, tokens }) => {
      const own = { tokens, experts, topK, capacityFactor: 1 };
      for (let seed = 0; seed < 12; seed++) {
        const options = { apply: "same", iterations: 1 + (seed % 4) };
        const { route, infer } = createRouterUnderTest("quantile", own, { kernels, scores, options });
        const logits = equalTokens(tokens, seed);
        const { expert, load } = route(logits);
        expect(expert).toEqual(new Array(tokens).fill(lowest));
        expect(load).toEqual(countLoad(expert, experts));
        expect(infer(logits).expert).toEqual(expert);
      }
    });

    it.each(equalRows)("go to the lowest indices of the next batch: $scores, $tokens tokens", ({ scores, tokens }) => {
      const own = { tokens, experts, topK, capacityFactor: 1 };
      for (let seed = 0; seed < 6; seed++) {
        const { route } = createRouterUnderTest("quantile", own, { kernels, scores });
        const logits = equalTokens(tokens, seed);
        route(logits);
        for (let step = 1; step < 4; step++) expect(route(logits).expert).toEqual(new Array(tokens).fill(lowest));
      }
    });

    it("leave experts that are disabled for a token out", () => {
      const own = { tokens: 5, experts, topK, capacityFactor: 1 };
      const logits = equalTokens(5, 3).map((z, i) => ([0, 4].includes(i % experts) ? -Infinity : z));
      const { route } = createRouterUnderTest("quantile", own, {
        kernels,
        scores: "sigmoid",
        options: { apply: "same" },
      });
      expect(route(logits).expert).toEqual(new Array(5).fill([1, 2, 3]));
    });

    it("do not blur saturated affinities before any price", () => {
      const own = { tokens: 2, experts: 4, topK: 1, capacityFactor: 1 };
      const { route } = createRouterUnderTest("quantile", own, { kernels, scores: "sigmoid" });
      expect(route(Float32Array.of(50, 60, 55, 0, 60, 50, 55, 0)).expert).toEqual([[1], [0]]);
    });
  });
});

describe("the options of quantile", () => {
  it("refuse to average over batches the prices that each batch is routed by", () => {
    const kind = findRouterKind("quantile")!;
    const problems = kind.check!(kind.options.parse({ apply: "same", updateEvery: 2 }), shape);
    expect(problems.map(({ path }) => path.join("."))).toEqual(["updateEvery"]);
    expect(kind.check!(kind.options.parse({ apply: "same" }), shape)).toEqual([]);
  });
});
