import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { embeddedJson } from "../../src/page/page-data.ts";

describe("JSON in a page", () => {
  it("reads back as what it was, for any text, and cannot end the element it stands in", () => {
    const text = fc.oneof(fc.string(), fc.constantFrom("</script>", "<!--", "\u2028", "\u2029", "]]>"));
    fc.assert(
      fc.property(fc.array(text), fc.dictionary(text, text), (list, record) => {
        const json = embeddedJson([list, record]);
        expect(json).not.toMatch(/[<\u2028\u2029]/);
        expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify([list, record])));
      }),
      { numRuns: 200 },
    );
  });

  it("rounds fractions to six digits and leaves integers whole", () => {
    expect(embeddedJson([1 / 3, 2e-9 / 3, 123456789, -0.5, null, Number.NaN])).toBe(
      "[0.333333,6.66667e-10,123456789,-0.5,null,null]",
    );
  });
});
