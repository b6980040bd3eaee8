import { expect, test } from "vitest";
import { zipfWeights } from "../../../../src/core/streams/parts/zipf.ts";

test("weights of exponent 1 on four ranks are the reciprocals over their sum, 25/12", () => {
  const weights = zipfWeights(4, 1);
  for (const [rank, weight] of [12 / 25, 6 / 25, 4 / 25, 3 / 25].entries())
    expect(weights[rank]).toBeCloseTo(weight, 15);
});

test("exponent 2 on very many ranks gives the first rank 6/π²", () => {
  // The tail beyond n ranks is about 1/n of the sum.
  expect(zipfWeights(1_000_000, 2)[0]).toBeCloseTo(6 / Math.PI ** 2, 5);
});

test("exponent 0 is uniform, and one rank has all the weight", () => {
  expect(Array.from(zipfWeights(8, 0))).toEqual(Array(8).fill(1 / 8));
  expect(Array.from(zipfWeights(1, 3))).toEqual([1]);
});
