import { describe, expect, it } from "vitest";
import { confidenceInterval, meanDifference, studentQuantile } from "../../../src/core/results/interval.ts";

// Student's t, 97.5 %: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2, three decimals.
const tableTolerance = 5e-4;

/**
 * Relative. jstat stops its search when a step is below 1e-8 of the value, which leaves up to 5e-8. An interval is shown
 * with four digits at most, so that this moves none but one in a thousand last digits, and by one.
 */
const quantileTolerance = 1e-7;

describe("studentQuantile", () => {
  // scipy 1.17.1, stats.t.ppf(0.975, freedom).
  it.each([
    [1, 12.706204736174694],
    [1.37, 6.885073156641705],
    [2, 4.302652729749462],
    [3, 3.1824463052837078],
    [4, 2.7764451051977934],
    [4.5, 2.6589123472044034],
    [5, 2.5705818356363146],
    [7, 2.364624251592784],
    [10, 2.228138851986274],
    [15, 2.131449545559776],
    [20, 2.085963447265864],
    [30, 2.0422724563012378],
    [50, 2.008559112100761],
    [75, 1.9921021540022417],
    [100, 1.9839715185235518],
    [150, 1.9759053308966201],
    [200, 1.9718962236339088],
    [697, 1.9633733475126156],
    [1000, 1.9623390808264083],
    [100000, 1.9599877075346095],
  ])("is scipy's for %f degrees of freedom", (freedom, expected) => {
    expect(Math.abs(studentQuantile(freedom) / expected - 1)).toBeLessThan(quantileTolerance);
  });

  it("falls from each degree of freedom to the next, towards the normal's", () => {
    const quantiles = Array.from({ length: 200 }, (_, i) => studentQuantile(i + 1));
    for (const [i, quantile] of quantiles.entries()) {
      expect(quantile).toBeGreaterThan(1.9599639845400545);
      if (i > 0) expect(quantile).toBeLessThan(quantiles[i - 1]);
    }
  });
});

describe("confidenceInterval", () => {
  it("has the closed form of two values: half the distance times the tangent of 0.475 π", () => {
    // With one degree of freedom t is a Cauchy variable, whose quantile is a tangent; s/√2 is half the distance.
    const { mean, halfWidth, count } = confidenceInterval([1, 4])!;
    expect(mean).toBe(2.5);
    expect(Math.abs(halfWidth! / (1.5 * Math.tan(0.475 * Math.PI)) - 1)).toBeLessThan(quantileTolerance);
    expect(count).toBe(2);
  });

  it.each([
    [3, 4.303],
    [5, 2.776],
    [11, 2.228],
    [31, 2.042],
  ])("takes %i values with the tables' quantile %f", (count, quantile) => {
    const values = Array.from({ length: count }, (_, i) => i);
    // The sum of (i − mean)² over 0 … n − 1 is n(n² − 1)/12.
    const standardError = Math.sqrt((count * (count ** 2 - 1)) / 12 / (count - 1) / count);
    const { mean, halfWidth } = confidenceInterval(values)!;
    expect(mean).toBe((count - 1) / 2);
    expect(Math.abs(halfWidth! / standardError - quantile)).toBeLessThan(tableTolerance);
  });

  it("has no width for a single value, and is nothing for none", () => {
    expect(confidenceInterval([7])).toEqual({ mean: 7, halfWidth: null, count: 1 });
    expect(confidenceInterval([])).toBeNull();
  });
});

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
