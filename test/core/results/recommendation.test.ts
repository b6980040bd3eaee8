import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Candidate,
  paretoFront,
  recommend,
  recommendationLines,
  recommendationText,
} from "../../../src/core/results/recommendation.ts";
import type { Variant } from "../../../src/core/results/variants.ts";

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

describe("recommendationText", () => {
  /** Lines for variants of which each is `[name, MaxVio, regret]`, of one seed. */
  function linesOf(
    variants: readonly (readonly [name: string, maxVio: number, regret: number | null])[],
    limit: number,
    swept: readonly string[],
    halfWidth: number | null = null,
  ): string[] {
    const all = variants.map(([name, maxVio, regret]) => {
      const variant: Variant = { name, router: name.split(" ")[0], kind: "topk", parameters: {}, members: [] };
      const interval = (mean: number) => ({ mean, halfWidth, count: 1 });
      return {
        variant,
        candidate: { maxVio: interval(maxVio), price: regret === null ? null : interval(regret), routeMs: 2 },
      };
    });
    const recommendation = recommend(
      all.map(({ candidate }) => candidate),
      limit,
    );
    return recommendationLines(
      recommendationText(all, recommendation, limit, "regret", swept, ({ name }) => `run ${name}`),
    );
  }

  it("names the Pareto-best by rising MaxVio, and the cheapest with the command that runs it again", () => {
    expect(
      linesOf(
        [
          ["a u=1", 0.4, 0.01],
          ["a u=2", 0.2, 0.03],
          ["b u=1", 0.5, 0.02],
        ],
        0.5,
        ["routers.a.u"],
      ),
    ).toEqual([
      "Pareto-best of MaxVio and regret, means over batches:",
      "  a u=2: MaxVio 0.2, regret 0.03, 2 ms per batch",
      "  a u=1: MaxVio 0.4, regret 0.01, 2 ms per batch",
      "Cheapest that keeps MaxVio ≤ 0.5:",
      "  a u=1: MaxVio 0.4, regret 0.01, 2 ms per batch",
      "  run a u=1",
    ]);
  });

  it("names the nearest where none keeps the limit, and says so where regret is not known", () => {
    expect(
      linesOf(
        [
          ["a", 0.9, null],
          ["b", 0.7, null],
        ],
        0.5,
        [],
        0.1,
      ),
    ).toEqual([
      "Regret was not computed, so there is no Pareto front of MaxVio and regret.",
      "None keeps MaxVio ≤ 0.5, including half width. The nearest, at 0.8:",
      "  b: MaxVio 0.70 ± 0.10, 2 ms per batch",
      "  run b",
    ]);
  });

  it("names once what came to the same, as a router does that has no part in what is swept", () => {
    const lines = linesOf(
      [
        ["a u=1", 0.2, 0.1],
        ["a u=2", 0.2, 0.1],
        ["b u=1", 0.2, 0.1],
      ],
      1,
      ["routers.b.u"],
    );
    expect(lines.filter((line) => line.startsWith("  ")).map((line) => line.split(":")[0])).toEqual([
      "  a u=1",
      "  b u=1",
      "  a u=1",
      "  run a u=1",
    ]);
  });

  it.each([
    [["routers.a.u", "routers[0].v", "routers"], null],
    [["routers.a.u", "topK"], "Not only routers differ: topK is swept too, so their figures may not be comparable."],
    [
      ["topK", "stream.skew"],
      "Not only routers differ: topK, stream.skew are swept too, so their figures may not be comparable.",
    ],
  ])("warns where more than routers is swept: %j", (swept, warning) => {
    const last = linesOf([["a", 0.2, 0.1]], 1, swept).at(-1);
    expect(last).toBe(warning ?? "  run a");
  });

  it("shows no control character of a name", () => {
    expect(linesOf([["a\u001b[2J\nb", 0.2, 0.1]], 1, [])[1]).toMatch(/^ {2}a\\u\{1b\}\[2J\\u\{a\}b: /);
  });
});

describe("paretoFront", () => {
  interface Point {
    x: number;
    y: number;
  }

  function isDominated(point: Point, points: readonly Point[]): boolean {
    return points.some(({ x, y }) => x <= point.x && y <= point.y && (x < point.x || y < point.y));
  }

  it("keeps the points of a staircase and leaves out what lies above it, in order of rising x", () => {
    const points = [
      { x: 3, y: 1 },
      { x: 1, y: 5 },
      { x: 2, y: 5 },
      { x: 2, y: 2 },
      { x: 4, y: 1 },
    ];
    expect(paretoFront(points)).toEqual([1, 3, 0]);
  });

  it("keeps all points that lie on each other", () => {
    const points = [
      { x: 1, y: 1 },
      { x: 2, y: 2 },
      { x: 1, y: 1 },
    ];
    expect(paretoFront(points)).toEqual([0, 2]);
  });

  it("has no point where there is none", () => {
    expect(paretoFront([])).toEqual([]);
  });

  it("is what comparing each point with every other leaves", () => {
    // Few distinct coordinates, so that ties and duplicates are common.
    const coordinate = fc.integer({ min: -3, max: 3 });
    fc.assert(
      fc.property(fc.array(fc.record({ x: coordinate, y: coordinate }), { maxLength: 20 }), (points) => {
        const front = paretoFront(points);
        const expected = points.flatMap((point, position) => (isDominated(point, points) ? [] : [position]));
        expect(front.toSorted((a, b) => a - b)).toEqual(expected);
        const x = front.map((position) => points[position].x);
        expect(x).toEqual(x.toSorted((a, b) => a - b));
      }),
      { seed: 1 },
    );
  });
});
