import { expect, it } from "vitest";
import { sizesText } from "../../src/cli/sizes-text.ts";

it("says in words how large a stream is, in the singular for one", () => {
  expect(sizesText(10, 512, 16)).toBe("10 steps of 512 tokens, 16 experts");
  expect(sizesText(1, 1, 1)).toBe("1 step of 1 token, 1 expert");
});
