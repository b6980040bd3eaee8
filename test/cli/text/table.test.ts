import { describe, expect, it } from "vitest";
import { bestOf, columnsWithin, formatTable } from "../../../src/cli/text/table.ts";
import { formatNumber } from "../../../src/core/results/format.ts";

describe("formatNumber", () => {
  it.each([
    [null, "–"],
    [0, "0"],
    [1 / 3, "0.3333"],
    [-1234.56, "-1235"],
    [0.0001, "0.0001"],
    [0.00009999, "9.999e-5"],
  ])("writes %s with four significant digits as %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});

describe("columnsWithin", () => {
  const header = ["name", "first", "second\nline"];
  const rows = [
    ["a", 1, 2],
    ["b", 0.125, null],
  ];

  it("keeps what the table of it has room for, and gives up the highest rank first", () => {
    const widthOf = (columns: readonly number[]) => {
      const table = formatTable(
        columns.map((column) => header[column]),
        rows.map((row) => columns.map((column) => row[column])),
      );
      return Math.max(...table.split("\n").map((line) => line.length));
    };
    const all = widthOf([0, 1, 2]);
    expect(columnsWithin(all, header, rows, [0, 2, 1])).toEqual([0, 1, 2]);
    expect(columnsWithin(all - 1, header, rows, [0, 2, 1])).toEqual([0, 2]);
    expect(columnsWithin(widthOf([0, 2]) - 1, header, rows, [0, 2, 1])).toEqual([0]);
    expect(columnsWithin(0, header, rows, [0, 2, 0])).toEqual([0, 2]);
  });

  it("counts characters that take the room of two as two", () => {
    const wide = [["均衡均衡", 1]];
    // Eight and a blank on both sides; a column of one digit has three besides, and a blank between the two.
    expect(columnsWithin(14, ["", ""], wide, [0, 1])).toEqual([0, 1]);
    expect(columnsWithin(13, ["", ""], wide, [0, 1])).toEqual([0]);
  });
});

describe("bestOf", () => {
  it("marks all that are equally good, and none where all are or neither way is better", () => {
    expect(bestOf([2, null, 1, 1], "lower")).toEqual([false, false, true, true]);
    expect(bestOf([2, null, 1, 1], "higher")).toEqual([true, false, false, false]);
    expect(bestOf([2, null, 1], null)).toEqual([false, false, false]);
    expect(bestOf([1, null, 1], "lower")).toEqual([false, false, false]);
    expect(bestOf([], "lower")).toEqual([]);
  });
});
