import { expect, it } from "vitest";
import { counted } from "../../src/core/words.ts";

it("has the singular for one thing alone", () => {
  expect([0, 1, 2, 1000].map((count) => counted(count, "row"))).toEqual(["0 rows", "1 row", "2 rows", "1000 rows"]);
});
