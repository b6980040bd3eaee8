import { expect, it } from "vitest";
import { drawnName, inWords, rounded, textWidth } from "../../../../src/core/pictures/parts/text.ts";
import { listed } from "../../../../src/core/words.ts";

it("rounds numbers of pictures to five digits, whatever their size", () => {
  expect([1 / 3, -12345678, 0, 1e-9 / 3].map(rounded)).toEqual([0.33333, -12346000, 0, 3.3333e-10]);
});

it("draws names on one line and without what no document may hold", () => {
  expect(drawnName("a\nb\u0000\u001bc\uFFFE")).toBe("a b c ");
  expect(drawnName("lone \uD800 half")).toBe("lone   half");
  expect(drawnName("\u202Ebackwards\u2066\u200F")).toBe(" backwards ");
  expect(drawnName('<b title="x">&amp;</b> 国 é')).toBe('<b title="x">&amp;</b> 国 é');
});

it("draws the name of every object's prototype as one that is none, and looks the same", () => {
  expect(drawnName("__proto__")).toBe("__proto__\u2060");
  expect(textWidth(drawnName("__proto__"), 12)).toBeCloseTo(textWidth("__proto__", 12), 10);
});

it("writes numbers in sentences with three digits", () => {
  expect([0.33333, 1234.5, -0.5, 0].map(inWords)).toEqual(["0.333", "1230", "−0.5", "0"]);
});

it("lists few names, and of many the first", () => {
  expect(listed([])).toBe("");
  expect(listed(["a"])).toBe("a");
  expect(listed(["a", "b", "c"])).toBe("a, b and c");
  expect(listed(["a", "b", "c", "d", "e", "f", "g"])).toBe("a, b, c, d and 3 more");
});

it("measures text as wide as DejaVu Sans sets it", () => {
  // Advance widths as the font's own table has them, in 2048ths of the font's size; within one of them.
  const advances = { " ": 651, "0": 1303, i: 569, W: 2025, m: 1995, o: 1253, e: 1260, c: 1126 };
  for (const [character, advance] of Object.entries(advances)) {
    expect(Math.abs(textWidth(character, 2048) - advance), character).toBeLessThanOrEqual(1);
  }
  expect(textWidth("00", 12)).toBeCloseTo(2 * textWidth("0", 12), 10);
  expect(textWidth("\n\u0000\uD800", 12)).toBeGreaterThan(0);
  expect(textWidth("m", 12, true)).toBeGreaterThan(textWidth("m", 12));
});
