import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { routingEntropy, specialisation } from "../../../src/core/metrics/training.ts";
import { createRandom } from "../../../src/core/random.ts";
import { randomLogits } from "../../support/random-logits.ts";

/** The routing entropy of rows of logits, all of the same length. */
function entropyOf(rows: readonly (readonly number[])[]): number {
  const logits = Float32Array.from(rows.flat());
  const experts = rows[0].length;
  const logSumExp = Float64Array.from(rows, (_, token) => {
    const row = logits.subarray(token * experts, (token + 1) * experts);
    const largest = Math.max(...row);
    return largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  });
  return routingEntropy({ step: 0, tokens: rows.length, experts, logits }, logSumExp);
}

describe("routing entropy", () => {
  it("is 1 for uniform logits, whatever they are", () => {
    // log Σ exp is rounded to a few 1e-15 of 30.
    for (const logit of [0, -30, 30]) expect(entropyOf([Array(8).fill(logit)])).toBeCloseTo(1, 13);
  });

  it("is 1 by definition for one expert", () => {
    expect(entropyOf([[3], [-1]])).toBe(1);
  });

  it("goes to 0 for a gate that has decided, as (1 + a)·(E − 1)·exp(−a) / ln E", () => {
    const experts = 4;
    for (const a of [10, 20, 40]) {
      const limit = ((1 + a) * (experts - 1) * Math.exp(-a)) / Math.log(experts);
      // The next term is of the square of exp(−a); that of the decided expert is rounded as log Σ exp is.
      const tolerance = 50 * a * Math.exp(-2 * a) + 1e-14;
      expect(Math.abs(entropyOf([[a, 0, 0, 0]]) - limit)).toBeLessThan(tolerance);
    }
  });

  it("is ln 2 / ln E between two of E experts, and a mean over tokens", () => {
    const between = [100, 100, 0, 0];
    expect(entropyOf([between])).toBeCloseTo(Math.log(2) / Math.log(4), 13);
    expect(entropyOf([between, [0, 0, 0, 0]])).toBeCloseTo((Math.log(2) / Math.log(4) + 1) / 2, 13);
  });

  it("is that of the softmax, by hand: p = 1/2, 1/4, 1/4", () => {
    const logits = [Math.log(2), 0, 0];
    // Logits are float32: the logarithm of 2 is off by up to 3e-8.
    expect(entropyOf([logits])).toBeCloseTo((0.5 * Math.log(2) + 0.5 * Math.log(4)) / Math.log(3), 7);
  });

  it("is in [0, 1] and the same for the experts in another order and for shifted logits", () => {
    const row = fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 2, maxLength: 9 });
    fc.assert(
      fc.property(row, fc.integer({ min: -8, max: 8 }), (logits, shift) => {
        const entropy = entropyOf([logits]);
        // log Σ exp below 60 is rounded to 1e-14, and a shift rounds logits to float32.
        expect(entropy).toBeGreaterThan(-1e-13);
        expect(entropy).toBeLessThan(1 + 1e-13);
        expect(entropyOf([logits.toReversed()])).toBeCloseTo(entropy, 12);
        expect(entropyOf([logits.map((logit) => logit + shift)])).toBeCloseTo(entropy, 3);
      }),
    );
  });
});

/** The specialisation of pairs of a cluster and an expert, `slots` to a token. */
function informationOf(cluster: readonly number[], expert: readonly number[], experts: number, slots = 1): number {
  const choice = { expert: Int32Array.from(expert), slots };
  return specialisation(choice, Int32Array.from(cluster), cluster.length, experts);
}

function entropy(shares: readonly number[]): number {
  return -shares.reduce((sum, share) => sum + share * Math.log(share), 0);
}

describe("specialisation", () => {
  it("is the entropy of the clusters where each has experts of its own", () => {
    // Clusters of 1/2, 1/4 and 1/4 of the tokens, the first with two experts.
    const cluster = [0, 0, 0, 0, 1, 1, 2, 2];
    expect(informationOf(cluster, [3, 1, 3, 1, 0, 0, 2, 2], 4)).toBeCloseTo(entropy([0.5, 0.25, 0.25]), 14);
  });

  it("is 0 where experts and clusters are independent, and where one expert takes all", () => {
    const cluster = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
    expect(informationOf(cluster, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1], 2)).toBeCloseTo(0, 14);
    expect(informationOf(cluster, Array(12).fill(1), 2)).toBe(0);
  });

  it("is Σ p ln(p / (q·r)) over the pairs, by hand", () => {
    // Two slots to a token. Pairs by cluster and expert: 0 has 2 with expert 0 and 1 with 1, 1 has 1 with expert 1.
    const information = informationOf([0, 0, 1], [0, 1, 0, -1, 1, -1], 2, 2);
    const terms = [
      (2 / 4) * Math.log(2 / 4 / ((3 / 4) * (2 / 4))),
      (1 / 4) * Math.log(1 / 4 / ((3 / 4) * (2 / 4))),
      (1 / 4) * Math.log(1 / 4 / ((1 / 4) * (2 / 4))),
    ];
    expect(information).toBeCloseTo(terms[0] + terms[1] + terms[2], 14);
  });

  it("is 0 where no token was routed", () => {
    expect(informationOf([0, 1], [-1, -1], 2)).toBe(0);
  });

  it("is too large by (clusters − 1)·(experts − 1) / (2·pairs) on average where nothing tells of clusters", () => {
    const [tokens, clusters, experts, draws] = [512, 4, 8, 400];
    const random = createRandom("plug-in");
    const values = Array.from({ length: draws }, () =>
      informationOf(
        Array.from({ length: tokens }, () => Math.floor(clusters * random.uniform())),
        Array.from({ length: tokens }, () => Math.floor(experts * random.uniform())),
        experts,
      ),
    );
    const mean = values.reduce((sum, value) => sum + value, 0) / draws;
    const degrees = (clusters - 1) * (experts - 1);
    // 2·pairs·I is about χ² with that many degrees of freedom, so the mean has a standard error of √(2·21 / 400) = 0.32
    // of 21; four of them, and 2 % for terms of the next order in 1 / pairs.
    expect(Math.abs(2 * tokens * mean - degrees)).toBeLessThan(4 * Math.sqrt((2 * degrees) / draws) + 0.02 * degrees);
  });

  it("is between 0 and the smaller of both entropies, and the same under other names of experts and clusters", () => {
    const pair = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: -1, max: 4 }));
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1, maxLength: 60 }), (pairs) => {
        const [cluster, expert] = [pairs.map(([c]) => c), pairs.map(([, e]) => e)];
        const information = informationOf(cluster, expert, 5);
        const routed = pairs.filter(([, e]) => e >= 0);
        const sharesOf = (of: readonly number[]) =>
          Array.from(new Set(of), (one) => of.filter((other) => other === one).length / of.length);
        const bound = Math.min(entropy(sharesOf(routed.map(([c]) => c))), entropy(sharesOf(routed.map(([, e]) => e))));
        expect(information).toBeGreaterThanOrEqual(0);
        expect(information).toBeLessThanOrEqual(bound + 1e-13);
        const renamed = expert.map((e) => (e < 0 ? e : 4 - e));
        expect(informationOf(cluster, renamed, 5)).toBeCloseTo(information, 12);
        expect(
          informationOf(
            cluster.map((c) => 3 - c),
            expert,
            5,
          ),
        ).toBeCloseTo(information, 12);
      }),
    );
  });

  it("grows as a gate follows the clusters more", () => {
    const [tokens, clusters] = [600, 3];
    const cluster = Array.from({ length: tokens }, (_, token) => token % clusters);
    const noise = randomLogits("gate", tokens, clusters);
    const informations = [0, 1, 2, 4].map((weight) =>
      informationOf(
        cluster,
        cluster.map((c, token) => {
          const row = Array.from({ length: clusters }, (_, e) => noise[token * clusters + e] + (e === c ? weight : 0));
          return row.indexOf(Math.max(...row));
        }),
        clusters,
      ),
    );
    expect(informations).toEqual(informations.toSorted((a, b) => a - b));
    expect(informations[0]).toBeLessThan(0.02);
    expect(informations[3]).toBeGreaterThan(0.9 * Math.log(clusters));
  });
});
