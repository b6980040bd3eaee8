import { expect, it } from "vitest";
import { numberIn } from "../../../src/core/results/results.ts";

it("reads decimal numbers alone, which are finite", () => {
  expect(["1", " -2.5 ", "+.5", "3.", "1e-3", "2E5"].map(numberIn)).toEqual([1, -2.5, 0.5, 3, 0.001, 200_000]);
  for (const cell of ["", " ", "0x10", "0b11", "0o7", "1_000", "NaN", "Infinity", "1e400", "1 2"]) {
    expect(numberIn(cell), cell).toBeNull();
  }
});
