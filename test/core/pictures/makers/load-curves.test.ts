import { expect, it } from "vitest";
import { lorenzCurve, totalLoads } from "../../../../src/core/pictures/makers/load-curves.ts";

it("sums the loads of each expert over the steps", () => {
  expect(totalLoads({ step: [0, 5], experts: 3, load: [1, 2, 3, 10, 20, 30] })).toEqual([11, 22, 33]);
});

it("is a straight line where all experts have the same load", () => {
  expect(lorenzCurve([7, 7, 7, 7])).toEqual([0, 0.25, 0.5, 0.75, 1]);
});

it("stays at 0 up to the only expert with a load", () => {
  expect(lorenzCurve([0, 9, 0, 0])).toEqual([0, 0, 0, 0, 1]);
});

it("is k(k + 1) / n(n + 1) where the loads are 1, 2, …, n in any order", () => {
  const n = 20;
  // 7 and 20 have no common divisor, so that this is a permutation.
  const loads = Array.from({ length: n }, (_, i) => 1 + ((7 * i) % n));
  for (const [k, share] of lorenzCurve(loads)!.entries()) expect(share).toBeCloseTo((k * (k + 1)) / (n * (n + 1)), 12);
});

it("is none where there is no load", () => {
  expect(lorenzCurve([0, 0])).toBeNull();
});
