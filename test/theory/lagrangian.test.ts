import { describe, expect, it } from "vitest";
import { biasPull, lagrangian, switchingBenefits } from "../../results/theory/measures/lagrangian.ts";

// Three tokens, two experts, one each. S = [0.9 0.1; 0.6 0.5; 0.7 0.2]; all choose expert 0 while b = 0.
const all = { expert: Int32Array.of(0, 0, 0), pairScore: Float64Array.of(0.9, 0.6, 0.7) };
// Token 1 chooses expert 1 under b = (−0.1, 0.1).
const next = { expert: Int32Array.of(0, 1, 0), pairScore: Float64Array.of(0.9, 0.5, 0.7) };
const noBias = Float64Array.of(0, 0);
const bias = Float64Array.of(-0.1, 0.1);

describe("the Lagrangian", () => {
  it("is K times the score while there is no bias", () => {
    expect(lagrangian(all, noBias, [3, 0], 3, 1)).toBeCloseTo(2.2 / 3, 15);
  });

  it("adds each bias times the expert's distance from the mean load, per token", () => {
    // 2.1 − 0.1·(2 − 1.5) + 0.1·(1 − 1.5) = 2.0.
    expect(lagrangian(next, bias, [2, 1], 3, 1)).toBeCloseTo(2 / 3, 15);
  });

  it("does not depend on a constant added to the bias", () => {
    const shifted = bias.map((value) => value + 0.7);
    expect(lagrangian(next, shifted, [2, 1], 3, 1)).toBeCloseTo(2 / 3, 15);
  });

  it("reads only the tokens of a shorter batch", () => {
    expect(lagrangian(all, noBias, [2, 0], 2, 1)).toBeCloseTo(0.75, 15);
  });
});

describe("the pull of the bias", () => {
  it("is its change times the distance from the mean load", () => {
    expect(biasPull(noBias, bias, [3, 0])).toBeCloseTo(-0.3, 15);
    expect(biasPull(bias, bias, [3, 0])).toBe(0);
  });
});

describe("switching benefits", () => {
  it("are the gain under the new bias of the tokens that switch, and 0 for those that stay", () => {
    const benefit = new Float64Array(3);
    // Token 1: 0.5 + 0.1 instead of 0.6 − 0.1.
    expect(switchingBenefits(all, next, bias, 3, 1, benefit)).toBeCloseTo(0.1, 15);
    expect(benefit[0]).toBe(0);
    expect(benefit[1]).toBeCloseTo(0.1, 15);
    expect(benefit[2]).toBe(0);
  });

  it("do not depend on the order of a token's experts", () => {
    const choice = { expert: Int32Array.of(0, 1), pairScore: Float64Array.of(0.5, 0.25) };
    const reordered = { expert: Int32Array.of(1, 0), pairScore: Float64Array.of(0.25, 0.5) };
    const benefit = new Float64Array(1);
    expect(switchingBenefits(choice, reordered, Float64Array.of(0.5, 1), 1, 2, benefit)).toBe(0);
  });

  it("are negative where the new choice is not the better one", () => {
    expect(switchingBenefits(next, all, bias, 3, 1, new Float64Array(3))).toBeCloseTo(-0.1, 15);
  });
});
