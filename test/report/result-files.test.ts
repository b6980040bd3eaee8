import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampledSteps } from "../../src/report/result-files.ts";

describe("the steps that loads.csv holds", () => {
  it("are all of a short run", () => {
    expect(Array.from(sampledSteps(4, 200))).toEqual([0, 1, 2, 3]);
    expect(Array.from(sampledSteps(1, 200))).toEqual([0]);
  });

  it("are evenly spaced in a long one, with the first and the last", () => {
    expect(Array.from(sampledSteps(9, 5))).toEqual([0, 2, 4, 6, 8]);
    expect(Array.from(sampledSteps(9, 1))).toEqual([8]);
  });

  it("are never more than asked for and never more than one apart in their spacing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 5000 }), fc.integer({ min: 2, max: 300 }), (steps, samples) => {
        const sampled = Array.from(sampledSteps(steps, samples));
        expect(sampled.length).toBe(Math.min(steps, samples));
        expect(sampled.at(-1)).toBe(steps - 1);
        const gaps = sampled.slice(1).map((step, i) => step - sampled[i]);
        expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
