import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { parseTolerances, toleranceOf } from "../../../src/report/check/tolerances.ts";

describe("the tolerances of a check", () => {
  it("are one for all columns, and those of single columns", () => {
    const tolerances = parseTolerances(1e-6, ["max_vio=0.01", "score=0", "max_vio=2e-3"]);
    expect(["max_vio", "score", "load"].map((column) => toleranceOf(tolerances, column))).toEqual([2e-3, 0, 1e-6]);
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("are numbers from 0 on, and not %d", (overall) => {
    expect(() => parseTolerances(overall, [])).toThrow(InputError);
  });

  it.each(["max_vio", "max_vio=", "max_vio= ", "max_vio=x", "max_vio=-1", "max_vio=Infinity", "=1", ""])(
    "refuse the word %j",
    (word) => {
      expect(() => parseTolerances(0, [word])).toThrow(InputError);
    },
  );

  it.each([
    ["max_vo=1", /Did you mean "max_vio"\?/],
    ["__proto__=1", /no file has such a column/],
    // Which row it is has no tolerance.
    ["step=1", /no file has such a column/],
    ["router=1", /no file has such a column/],
  ])("know the columns: %s", (word, message) => {
    expect(() => parseTolerances(0, [word])).toThrow(message);
  });
});
