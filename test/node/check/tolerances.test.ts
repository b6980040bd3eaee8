import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import {
  allowedChange,
  judgeChange,
  parseTolerance,
  parseTolerances,
  toleranceOf,
} from "../../../src/node/check/tolerances.ts";

/** What a change from `baseline` to `now` means for a metric that is better if it is lower. */
function verdictOf(baseline: number, now: number, tolerance: string, standardError: number | null = null) {
  const allowed = allowedChange(parseTolerance(tolerance, ""), baseline, now, standardError);
  return judgeChange(now - baseline, allowed, "lower");
}

describe("the tolerances of a check", () => {
  it("are one for all columns, and those of single columns", () => {
    const words = ["max_vio=2e-3", "score=5%", "churn=2se", "dead_experts=5%,1", "load_cv= 2se , 1e-3 "];
    const tolerances = parseTolerances("1e-6", words);
    const columns = ["max_vio", "score", "score_ci95", "churn", "dead_experts", "load_cv", "load"];
    expect(columns.map((column) => toleranceOf(tolerances, column))).toEqual([
      { amount: 2e-3, unit: "absolute", floor: 0, text: "2e-3" },
      { amount: 0.05, unit: "relative", floor: 0, text: "5%" },
      { amount: 0.05, unit: "relative", floor: 0, text: "5%" },
      { amount: 2, unit: "standard errors", floor: 0, text: "2se" },
      { amount: 0.05, unit: "relative", floor: 1, text: "5%,1" },
      { amount: 2, unit: "standard errors", floor: 1e-3, text: "2se,1e-3" },
      { amount: 1e-6, unit: "absolute", floor: 0, text: "1e-6" },
    ]);
  });

  const simple = ["-1", "NaN", "Infinity", "x", "", " ", "%", "se", "5 percent", "5%%", "2 s e", "-5%", "2SE"];
  const withFloor = ["1,2", "5%,", "5%,-1", "5%,x", "5%,2%", "5%,1,2", ",1", "%,1", "5%,Infinity"];
  it.each([...simple, ...withFloor])("are not %j", (text) => {
    expect(() => parseTolerances(text, [])).toThrow(/^--tolerance: .* is not allowed; a number from 0 on/);
    expect(() => parseTolerances(text, [])).toThrow(InputError);
  });

  it.each(["score", "score=", "score= ", "score=x", "score=-1", "score=Infinity", "=1", ""])(
    "refuse the word %j",
    (word) => {
      expect(() => parseTolerances("0", [word])).toThrow(InputError);
    },
  );

  it.each([
    ["max_vo=1", /Did you mean "max_vio"\?/],
    ["max_vio_bach=1", /Did you mean "max_vio_batch_mean"\?/],
    ["SCORE=1", /Did you mean "score"\?/],
    ["__proto__=1", /no file has such a column/],
    // Which row it is has no tolerance.
    ["step=1", /no file has such a column/],
    ["router=1", /no file has such a column/],
    ["layer=1", /no file has such a column/],
    // A column of steps.csv alone.
    ["marginal_error=2se", /only columns of summary\.csv have a mean over seeds/],
  ])("know the columns: %s", (word, message) => {
    expect(() => parseTolerances("0", [word])).toThrow(message);
  });
});

describe("a column with two tolerances", () => {
  it("is refused", () => {
    const words = ["score=1", "churn=1", "score=2%"];
    expect(() => parseTolerances("0", words)).toThrow(/^--metric score: is given twice, 1 and 2%; name it once$/);
    expect(() => parseTolerances("0", words)).toThrow(InputError);
  });
});

describe("a change within its tolerance", () => {
  it.each([
    [0.5, 0.6, "0.1", null, "0.6 − 0.5 is just below 0.1 in float64"],
    [1, 1.05, "5%", null, "1.05 − 1 is just above 0.05 in float64"],
    [-200, -190, "5%", null, "relative to |baseline|"],
    [0.5, 0.52, "2se", 0.01, "two standard errors"],
    [0, 1e-10, "5%", null, "rounding, relative to a baseline of 0"],
    [0, 1, "5%,1", null, "the floor, which counts where 5 % are less"],
    [100, 104, "5%,1", null, "5 %, which count where they are more than the floor"],
    [0.5, 0.52, "2se,0.02", 0.001, "the floor, which counts where two standard errors are less"],
    [1, 1.5, "0%,0.5", null, "the floor alone"],
    [0.5, 0.5 + 1e-10, "2se", 0, "rounding, of seeds that all changed alike"],
    [1e8, 1e8 + 1e-5, "1e-6", null, "rounding, of a large number"],
    [1, 1, "0", null, "nothing allowed, and no change"],
  ] as const)("is none: %d → %d within %s (standard error %s): %s", (baseline, now, tolerance, standardError, _why) => {
    expect(verdictOf(baseline, now, tolerance, standardError)).toBe("same");
  });

  it.each([
    [0.5, 0.601, "0.1", null],
    [1, 1.06, "5%", null],
    // 19.6 % of a small number, which a tolerance relative to 1 would let pass.
    [0.22, 0.263, "5%", null],
    [0.5, 0.521, "2se", 0.01],
    [0, 1e-6, "5%", null],
    [1, 1.0000000000000002, "0", null],
    [0, 2, "5%,1", null],
    [0.5, 0.521, "2se,0.01", 0.01],
  ])("is one: %d → %d within %s (standard error %s)", (baseline, now, tolerance, standardError) => {
    expect(verdictOf(baseline, now, tolerance, standardError)).toBe("worse");
    expect(verdictOf(now, baseline, tolerance, standardError)).toBe("better");
  });

  const value = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 });
  const opposite = { better: "worse", worse: "better", same: "same", changed: "changed" } as const;

  it("is judged the other way round if both are swapped, for tolerances that do not depend on the baseline", () => {
    fc.assert(
      fc.property(
        value,
        value,
        fc.double({ noNaN: true, min: 0, max: 1e3 }),
        fc.constantFrom("", "se"),
        fc.constantFrom("lower", "higher", null),
        (a, b, amount, suffix, better) => {
          const tolerance = parseTolerance(`${amount}${suffix}`, "");
          const judge = (from: number, to: number) =>
            judgeChange(to - from, allowedChange(tolerance, from, to, 0.5), better);
          expect(judge(b, a)).toBe(opposite[judge(a, b)]);
        },
      ),
      { seed: 1 },
    );
  });

  it("is never better both ways, whatever the tolerance is relative to", () => {
    fc.assert(
      fc.property(value, value, fc.integer({ min: 0, max: 300 }), (a, b, percent) => {
        const both = [verdictOf(a, b, `${percent}%`), verdictOf(b, a, `${percent}%`)];
        if (!both.includes("same")) expect(both.toSorted()).toEqual(["better", "worse"]);
      }),
      { seed: 2 },
    );
  });

  it("is at least half of what is allowed, and never twice as much", () => {
    fc.assert(
      fc.property(value, fc.double({ min: 1e-6, max: 1, noNaN: true }), (baseline, amount) => {
        const allowed = allowedChange(parseTolerance(`${amount}`, ""), baseline, baseline, null);
        expect(allowed).toBe(Math.max(amount, 1e-9 * Math.max(1, Math.abs(baseline))));
        // Far enough from the edge that rounding decides nothing.
        expect(verdictOf(baseline, baseline + 0.5 * allowed, `${amount}`)).toBe("same");
        expect(verdictOf(baseline, baseline + 2 * allowed, `${amount}`)).toBe("worse");
      }),
      { seed: 3 },
    );
  });
});
