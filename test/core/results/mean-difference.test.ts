import { describe, expect, it } from "vitest";
import { confidenceInterval } from "../../../src/core/results/interval.ts";
import { meanDifference } from "../../../src/core/results/mean-difference.ts";

function differenceOf(values: readonly number[], reference: readonly number[]) {
  return meanDifference(confidenceInterval(values)!, confidenceInterval(reference)!);
}

describe("the difference of two means", () => {
  it("has the confidence interval of Welch's t-test", () => {
    const { difference, halfWidth, isClear } = differenceOf([20, 22, 19, 25, 24], [15, 17, 16, 18]);
    // SciPy's ttest_ind(…, equal_var=False).confidence_interval() is 2.311007083129685 to 8.688992916870315;
    // half of the width may have the relative error 1e-7 of the quantile, at most 3.2e-7.
    expect(difference).toBeCloseTo(5.5, 12);
    expect(difference - halfWidth!).toBeCloseTo(2.311007083129685, 6);
    expect(difference + halfWidth!).toBeCloseTo(8.688992916870315, 6);
    expect(isClear).toBe(true);
  });

  it("is that of Student where both groups are alike in size and variance", () => {
    const { halfWidth } = differenceOf([2, 4, 6], [1, 3, 5]);
    // Variance 4 in both, 4 degrees of freedom: t(0.975) = 2.776445 by tables, times √(4/3 + 4/3).
    expect(halfWidth).toBeCloseTo(2.776445 * Math.sqrt(8 / 3), 5);
  });

  it("is not clear where the groups overlap, and has its sign turned when they are exchanged", () => {
    const [there, back] = [differenceOf([1, 2, 3], [2, 3, 4]), differenceOf([2, 3, 4], [1, 2, 3])];
    expect(there).toMatchObject({ difference: -1, isClear: false });
    expect(back).toEqual({ ...there, difference: 1 });
  });

  it("has no interval for single values, and one of no width where no value varies", () => {
    expect(differenceOf([2], [1])).toEqual({ difference: 1, halfWidth: null, isClear: null });
    expect(differenceOf([2, 2], [1])).toEqual({ difference: 1, halfWidth: null, isClear: null });
    expect(differenceOf([2, 2], [1, 1])).toEqual({ difference: 1, halfWidth: 0, isClear: true });
    expect(differenceOf([2, 2], [2, 2])).toEqual({ difference: 0, halfWidth: 0, isClear: false });
  });
});
