import { describe, expect, it } from "vitest";
import { confidenceInterval } from "../../../src/report/results/interval.ts";

// Student's t, 97.5 %: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2, three decimals.
const tableTolerance = 5e-4;

describe("confidenceInterval", () => {
  it("has the closed form of two values: half the distance times the tangent of 0.475 π", () => {
    // With one degree of freedom t is a Cauchy variable, whose quantile is a tangent; s/√2 is half the distance.
    const { mean, halfWidth, count } = confidenceInterval([1, 4])!;
    expect(mean).toBe(2.5);
    expect(halfWidth).toBeCloseTo(1.5 * Math.tan(0.475 * Math.PI), 9);
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
