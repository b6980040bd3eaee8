import { describe, expect, it } from "vitest";
import { type ScoreKind, scoreKinds } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { backends } from "../../support/backends.ts";
import { float32, logitFamilies, oddShapes, worstRelativeError } from "./matrices.ts";

const [reference, wasm] = backends;

function affinitiesOf(kernels: Kernels, logits: number[], kind: ScoreKind, tokens: number, experts: number) {
  const out = kernels.allocateFloat64(tokens * experts + 1).fill(9);
  kernels.affinities(float32(kernels, logits), kind, tokens, experts, out);
  expect(out[tokens * experts]).toBe(9);
  return out.slice(0, tokens * experts);
}

describe.each(backends)("the float64 affinities of the $backend kernels", (kernels) => {
  it("are the closed forms of two experts", () => {
    // The float32 logit is not ln 3 itself, so the expected numbers come from it.
    const logit = Math.fround(Math.log(3));
    const odds = Math.exp(logit);
    // A few units in the last place of float64.
    const bound = 1e-15;
    expect(
      worstRelativeError(affinitiesOf(kernels, [0, logit], "softmax", 1, 2), [1 / (1 + odds), odds / (1 + odds)]),
    ).toBeLessThan(bound);
    expect(worstRelativeError(affinitiesOf(kernels, [0, -logit], "sigmoid", 1, 2), [0.5, 1 / (1 + odds)])).toBeLessThan(
      bound,
    );
    expect(Array.from(affinitiesOf(kernels, [0, logit], "logits", 1, 2))).toEqual([0, logit]);
    const roots = [Math.sqrt(Math.log(2)), Math.sqrt(Math.log1p(odds)), Math.sqrt(100), Math.exp(-500)];
    expect(
      worstRelativeError(affinitiesOf(kernels, [0, logit, 100, -1000], "sqrt-softplus", 1, 4), roots),
    ).toBeLessThan(bound);
  });

  it("keep their bound on a long row whose sum rounds at every term", () => {
    // Each term but the first is 0.63 units in the last place of a sum above 1, and a sum in order takes it for a whole one.
    const experts = 2048;
    const logit = -36.5;
    const logits = [0, ...new Array<number>(experts - 1).fill(logit)];
    const sum = 1 + (experts - 1) * Math.exp(logit);
    const expected = logits.map((z) => Math.exp(z) / sum);
    // The bound that `Kernels.affinities` promises; without its part for the row's length neither backend would keep it.
    const bound = 3e-15 + experts * 1.2e-16;
    expect(worstRelativeError(affinitiesOf(kernels, logits, "softmax", 1, experts), expected)).toBeLessThan(bound);
  });

  it("are 0 for disabled experts, −∞ among logits", () => {
    for (const kind of scoreKinds) {
      const row = affinitiesOf(kernels, [-Infinity, 1, -Infinity, -Infinity, -Infinity, -Infinity], kind, 2, 3);
      const none = kind === "logits" ? -Infinity : 0;
      expect(Array.from(row)).toEqual([none, kind === "softmax" ? 1 : row[1], none, none, none, none]);
      expect(row[1]).toBeGreaterThan(0.7);
    }
  });

  it("have softmax rows that sum to 1 to float64's rounding", () => {
    const [tokens, experts] = [33, 131];
    const scores = affinitiesOf(kernels, logitFamilies.normal(tokens, experts), "softmax", tokens, experts);
    for (let row = 0; row < tokens * experts; row += experts) {
      const sum = scores.subarray(row, row + experts).reduce((a, b) => a + b);
      expect(Math.abs(sum - 1)).toBeLessThan(1e-14);
    }
  });
});

describe("the float64 affinities of the WebAssembly kernels against the reference", () => {
  it.each(Object.entries(logitFamilies))("agree over odd sizes: %s", (_, make) => {
    for (const { tokens, experts } of oddShapes) {
      const logits = make(tokens, experts);
      for (const kind of scoreKinds) {
        const [expected, actual] = [reference, wasm].map((k) => affinitiesOf(k, logits, kind, tokens, experts));
        // 1e-15 of the exponential, and the rounding of the sum and the quotient; what is below 1e-307 may be 0.
        expect(worstRelativeError(actual, expected, 1e-290)).toBeLessThan(kind === "logits" ? 1e-300 : 3e-15);
      }
    }
  });
});

describe.each(backends)("the shares of the $backend kernels", (kernels) => {
  const kinds = scoreKinds.filter((kind) => kind !== "logits");

  it.each(kinds)("are what a sum in order makes of %s affinities, to the bit", (kind) => {
    for (const { tokens, experts } of oddShapes) {
      for (const family of Object.values(logitFamilies)) {
        const values = family(tokens, experts);
        const affinity = affinitiesOf(kernels, values, kind, tokens, experts);
        const expected = new Float64Array(experts).fill(0.25);
        for (let row = 0; row < tokens * experts; row += experts) {
          const own = affinity.subarray(row, row + experts);
          const sum = own.reduce((total, value) => total + value, 0);
          if (sum === 0) continue;
          own.forEach((value, e) => {
            expected[e] += value / sum;
          });
        }
        const share = kernels.allocateFloat64(experts).fill(0.25);
        kernels.addShares(float32(kernels, values), kind, tokens, experts, share);
        expect(Array.from(share)).toEqual(Array.from(expected));
      }
    }
  });

  it("add nothing for a token without an affinity above 0", () => {
    const none = Number.NEGATIVE_INFINITY;
    const share = kernels.allocateFloat64(2);
    const logits = float32(kernels, [none, none, 0, none, none, none, 0, 0, none, none]);
    kernels.addShares(logits, "softmax", 5, 2, share);
    expect(Array.from(share)).toEqual([1.5, 0.5]);
  });
});
