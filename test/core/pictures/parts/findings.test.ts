import { expect, it } from "vitest";
import { rangeSentence } from "../../../../src/core/pictures/parts/findings.ts";

it("says for whom a value is lowest and highest, and names all who share it", () => {
  const values = [
    { name: "a", value: 2 },
    { name: "b", value: 0.12345 },
    { name: "c", value: 2 },
  ];
  expect(rangeSentence("It", values)).toBe("It is lowest for b (0.123) and highest for a and c (2).");
});

it("compares nothing where all are equal or there is one", () => {
  expect(rangeSentence("It", [{ name: "a", value: 1 }])).toBe("It is 1 for a.");
  const equal = ["a", "b"].map((name) => ({ name, value: 0 }));
  expect(rangeSentence("It", equal)).toBe("It is 0 for all.");
});
