import { expect, it } from "vitest";
import { frontierTable, summarizeFrontier, withFactors } from "../../../src/core/results/frontier.ts";
import { confidenceInterval, weightedInterval } from "../../../src/core/results/interval.ts";
import type { FrontierStep } from "../../../src/core/simulation/frontier.ts";

/** A step with two capacities and a router, whose prices are those given. */
function stepOf(step: number, unbounded: number, prices: readonly [number, number], pairs = 100): FrontierStep {
  return {
    step,
    pairs,
    unbounded,
    freeFactor: 3 + step,
    optima: prices.map((price, i) => ({
      capacity: 10 + i,
      score: unbounded - price,
      upperBound: unbounded - price + (i === 0 ? 0.001 : 0),
      unassigned: 0,
    })),
    routers: [{ capacityFactor: 2, maxVio: 1, score: unbounded - 2 * prices[0], upperBound: unbounded - prices[0] }],
  };
}

const factors = [1, 1.5];

it("takes means over steps and the intervals of prices from each step's own difference", () => {
  const steps = [stepOf(0, 0.5, [0.1, 0.04]), stepOf(1, 0.9, [0.12, 0.04])];
  const { mean, layers, worst } = summarizeFrontier([{ layer: null, steps }], factors, ["r"])!;
  expect([layers, worst]).toEqual([[], []]);
  const [tight, loose] = mean.points;
  expect(tight.price).toEqual(confidenceInterval([0.5 - (0.5 - 0.1), 0.9 - (0.9 - 0.12)]));
  expect(tight.price.mean).toBeCloseTo(0.11, 12);
  expect(tight.priceFraction).toBeCloseTo(0.11 / 0.7, 12);
  // Scores differ from step to step, their price does not.
  expect(loose.price.halfWidth).toBeLessThan(1e-12);
  expect(loose.score.halfWidth).toBeGreaterThan(1);
  expect([tight.gap, loose.gap].map((gap) => gap.toFixed(9))).toEqual(["0.001000000", "0.000000000"]);
  expect(mean.freeFactor.mean).toBe(3.5);
  const [router] = mean.routers;
  expect(router.price.mean).toBeCloseTo(0.22, 12);
  expect(router.ownRegret.mean).toBeCloseTo(0.11, 12);
});

it("takes the mean over layers on each step, and names the layer that pays most at each capacity", () => {
  const result = summarizeFrontier(
    [
      { layer: 3, steps: [stepOf(0, 0.5, [0.1, 0.05]), stepOf(1, 0.5, [0.1, 0.05])] },
      { layer: 4, steps: [] },
      { layer: 7, steps: [stepOf(0, 0.7, [0.3, 0.01]), stepOf(1, 0.7, [0.3, 0.01])] },
    ],
    factors,
    ["r"],
  )!;
  expect(result.layers.map(({ layer }) => layer)).toEqual([3, 7]);
  expect(result.mean.points.map(({ price }) => price.mean.toFixed(6))).toEqual(["0.200000", "0.030000"]);
  expect(result.mean.unbounded.mean).toBeCloseTo(0.6, 12);
  expect(result.worst.map(({ layer }) => layer)).toEqual([7, 3]);
  const { columns, rows } = frontierTable(result);
  expect(rows.map((row) => [row[0], row[1], row[2], row.at(-1)])).toEqual(
    ["", "3", "7"].flatMap((layer) => [
      ["optimum", "", "1", layer],
      ["optimum", "", "1.5", layer],
      ["unbounded", "", "3.5", layer],
      ["router", "r", "2", layer],
    ]),
  );
  expect(rows.every((row) => row.length === columns.length)).toBe(true);
  const less = withFactors(result, [1.5]);
  expect(less.mean.points.map(({ capacityFactor }) => capacityFactor)).toEqual([1.5]);
  expect(less.worst.map(({ layer, points }) => [layer, points.length])).toEqual([[3, 1]]);
});

it("is null if no layer has a step", () => {
  expect(summarizeFrontier([{ layer: null, steps: [] }], factors, [])).toBeNull();
});

it("weighs steps by their pairs", () => {
  const steps = [stepOf(0, 0.5, [0.1, 0], 300), stepOf(1, 0.9, [0.3, 0], 100)];
  const { mean } = summarizeFrontier([{ layer: null, steps }], factors, ["r"])!;
  expect(mean.unbounded.mean).toBeCloseTo(0.6, 12);
  expect(mean.points[0].price.mean).toBeCloseTo(0.15, 12);
});

it("gives a weighted mean the interval of a ratio estimator", () => {
  const [values, weights] = [
    [1, 2, 4],
    [2, 1, 1],
  ];
  // Mean 2; Σ (w·(x − 2))² = 4 + 0 + 4; standard error √(3/2 · 8) / 4; t of 2 degrees of freedom 4.302653.
  const { mean, halfWidth } = weightedInterval(values, weights)!;
  expect(mean).toBe(2);
  expect(halfWidth).toBeCloseTo((4.302653 * Math.sqrt(12)) / 4, 5);
  expect(weightedInterval(values, [5, 5, 5])).toEqual(confidenceInterval(values));
  expect(weightedInterval([], [])).toBeNull();
});
