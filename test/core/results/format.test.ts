import { describe, expect, it } from "vitest";
import { formatInterval } from "../../../src/core/results/format.ts";

describe("a mean with its interval", () => {
  it.each([
    [0.123456, 0.0123, "0.123 ± 0.012"],
    [4.269, 1.4338, "4.3 ± 1.4"],
    [1234.56, 78.9, "1235 ± 79"],
    [123456, 4321, "123456 ± 4321"],
    [0.0187, 0.000349, "0.01870 ± 0.00035"],
    [0.5, 0, "0.5 ± 0"],
    [0.3, 5.5e-17, "0.3 ± 0"],
    [2, null, "2"],
    [-0.001, 0.19, "0.00 ± 0.19"],
    [-0.034, 0.029, "-0.034 ± 0.029"],
  ])("of %d and %d is %s", (mean, halfWidth, text) => {
    expect(formatInterval({ mean, halfWidth, count: 3 })).toBe(text);
  });
});
