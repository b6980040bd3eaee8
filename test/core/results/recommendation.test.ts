import { describe, expect, it } from "vitest";
import { type Candidate, recommend } from "../../../src/core/results/recommendation.ts";

/** A candidate of one seed, unless `halfWidth` is given. */
function candidate(
  maxVio: number,
  price: number | null,
  routeMs: number | null,
  halfWidth: number | null = null,
): Candidate {
  return {
    maxVio: { mean: maxVio, halfWidth, count: halfWidth === null ? 1 : 3 },
    price: price === null ? null : { mean: price, halfWidth: null, count: 1 },
    routeMs,
  };
}

/** Numbers in [0, 1), the same on every run: a linear congruence with the constants of Numerical Recipes. */
function createNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (1664525 * state + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

describe("recommend", () => {
  it("finds what comparing each with every other finds, for random candidates with many ties", () => {
    const next = createNumbers(5);
    for (let trial = 0; trial < 300; trial++) {
      const coarse = (steps: number) => Math.floor(steps * next()) / steps;
      const all = Array.from({ length: 1 + Math.floor(12 * next()) }, () =>
        candidate(
          coarse(6),
          next() < 0.2 ? null : coarse(6),
          next() < 0.1 ? null : coarse(4),
          next() < 0.5 ? null : coarse(8),
        ),
      );
      const limit = coarse(5);
      const { pareto, cheapest, nearest } = recommend(all, limit);

      const isBetter = (a: Candidate, b: Candidate) =>
        a.maxVio.mean <= b.maxVio.mean &&
        a.price!.mean <= b.price!.mean &&
        (a.maxVio.mean < b.maxVio.mean || a.price!.mean < b.price!.mean);
      const known = Array.from(all.keys()).filter((i) => all[i].price !== null);
      const undominated = known.filter((i) => !known.some((other) => isBetter(all[other], all[i])));
      expect(Array.from(pareto).sort((a, b) => a - b)).toEqual(undominated);
      const maxVios = pareto.map((i) => all[i].maxVio.mean);
      expect(maxVios).toEqual(Array.from(maxVios).sort((a, b) => a - b));

      const ends = all.map(({ maxVio }) => maxVio.mean + (maxVio.halfWidth ?? 0));
      expect(nearest).toBe(ends.indexOf(Math.min(...ends)));
      const times = all.map(({ routeMs }, i) => (ends[i] <= limit ? (routeMs ?? Number.MAX_VALUE) : Number.NaN));
      const kept = times.filter((time) => !Number.isNaN(time));
      expect(cheapest).toBe(kept.length === 0 ? null : times.indexOf(Math.min(...kept)));
    }
  });

  it("counts the half width against the limit, which may just be met", () => {
    const all = [candidate(0.375, 1, 1, 0.25), candidate(0.5, 1, 3), candidate(0.25, 1, 2, 0.25)];
    expect(recommend(all, 0.5)).toMatchObject({ cheapest: 2, nearest: 1 });
    expect(recommend(all, 0.625)).toMatchObject({ cheapest: 0 });
    expect(recommend(all, 0.49)).toMatchObject({ cheapest: null, nearest: 1 });
  });

  it("prefers the first of equals, and one with a time to one without", () => {
    expect(recommend([candidate(0, 1, 2), candidate(0, 1, 2)], 1)).toEqual({ pareto: [0, 1], cheapest: 0, nearest: 0 });
    expect(recommend([candidate(0, 1, null), candidate(0, 1, 9)], 1).cheapest).toBe(1);
    expect(recommend([candidate(0, 1, null), candidate(0, 1, null)], 1).cheapest).toBe(0);
  });

  it("has no front where a price is nowhere known", () => {
    expect(recommend([candidate(0.3, null, 1)], 0.5)).toEqual({ pareto: [], cheapest: 0, nearest: 0 });
  });
});
