import { describe, expect, it } from "vitest";
import { confidenceInterval, studentQuantile } from "../../../src/core/results/interval.ts";

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
