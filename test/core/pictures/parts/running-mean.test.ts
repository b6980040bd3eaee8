import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { runningMean } from "../../../../src/core/pictures/parts/running-mean.ts";

describe("a running mean", () => {
  it("is over as many values before a position as behind it, and over what there is at the end", () => {
    expect(runningMean([16, 8, 4, 0, 1], 1)).toEqual([16, 28 / 3, 4, 5 / 3, 0.5]);
    expect(runningMean([16, 8, 4, 0, 1], 9)).toEqual([16, 28 / 3, 29 / 5, 29 / 5, 29 / 5]);
  });

  it("is the values themselves for a radius of 0", () => {
    expect(runningMean([3, 1, 2], 0)).toEqual([3, 1, 2]);
  });

  it("passes over what is not there", () => {
    expect(runningMean([2, Number.NaN, 4], 1)).toEqual([2, 3, 4]);
    expect(runningMean([Number.NaN], 1)).toEqual([Number.NaN]);
  });

  it("is the mean of the values around, added up one by one", () => {
    const values = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { maxLength: 40 });
    fc.assert(
      fc.property(values, fc.nat(10), (all, radius) => {
        const expected = all.map((_, at) => {
          const reach = Math.min(radius, at);
          const around = all.slice(at - reach, at + reach + 1);
          return around.reduce((sum, value) => sum + value, 0) / around.length;
        });
        // Differences of sums below 4e4 are rounded to some 1e-11.
        for (const [at, mean] of runningMean(all, radius).entries()) expect(mean).toBeCloseTo(expected[at], 9);
      }),
    );
  });
});
