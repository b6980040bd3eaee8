import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareCells } from "../../../src/report/check/compare-cells.ts";

describe("two cells", () => {
  it.each([
    ["0.5", "0.6", 0.1, "0.1 allowed at a small baseline, and 0.6 − 0.5 is just below it in float64"],
    ["200", "220", 0.1, "20 allowed at a baseline of 200"],
    ["1", "1.0", 0, "the same number, written otherwise"],
    ["", "", 0, "nothing in both"],
    ["NaN", "NaN", 0, "the same text"],
  ])("agree: %j and %j within %d, %s", (baseline, now, tolerance) => {
    expect(compareCells(baseline, now, tolerance)).toBeNull();
  });

  it.each([
    ["0.5", "0.61", 0.1],
    ["200", "221", 0.1],
    ["-200", "-221", 0.1],
    ["1", "1.0000000000000002", 0],
  ])("differ by number: %j and %j within %d", (baseline, now, tolerance) => {
    const found = compareCells(baseline, now, tolerance);
    expect(found!.difference).toBe(Math.abs(Number(now) - Number(baseline)));
    expect(found!.allowed).toBe(tolerance * Math.max(1, Math.abs(Number(baseline))));
  });

  it.each([
    ["", "0"],
    ["0", ""],
    ["0", " "],
    ["topk", "ssr"],
    ["1", "NaN"],
    ["Infinity", "1"],
  ])("differ as text, however large the tolerance: %j and %j", (baseline, now) => {
    expect(compareCells(baseline, now, 1e300)).toEqual({ difference: null, allowed: null });
  });

  it("agree with themselves, and with nothing that is further off than the tolerance", () => {
    const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e100, max: 1e100 });
    fc.assert(
      fc.property(finite, fc.double({ min: 1e-9, max: 1, noNaN: true }), (value, tolerance) => {
        expect(compareCells(String(value), String(value), 0)).toBeNull();
        const scale = Math.max(1, Math.abs(value));
        // Twice and half of what is allowed: far enough from the edge that rounding decides nothing.
        expect(compareCells(String(value), String(value + 2 * tolerance * scale), tolerance)).not.toBeNull();
        expect(compareCells(String(value), String(value + 0.5 * tolerance * scale), tolerance)).toBeNull();
      }),
      { seed: 1 },
    );
  });
});
