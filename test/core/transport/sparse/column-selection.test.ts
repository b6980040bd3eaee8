import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSelection, keepLargest, kthLargest } from "../../../../src/core/transport/sparse/column-selection.ts";

describe("kthLargest", () => {
  it("agrees with a full sort, ties included", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 60 }),
        fc.nat(59),
        (values, n) => {
          const k = (n % values.length) + 1;
          expect(kthLargest(Float64Array.from(values), values.length, k)).toBe(
            [...values].sort((a, b) => b - a)[k - 1],
          );
        },
      ),
      { seed: 1 },
    );
  });
});

describe("keepLargest", () => {
  it("keeps what a stable sort puts first, in ascending order of tokens", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 40 }), fc.nat(45), (values, k) => {
        const selection = createSelection(40);
        values.forEach((value, i) => {
          selection.token[i] = 3 * i;
          selection.value[i] = value;
        });
        const expected = values
          .map((value, i) => ({ token: 3 * i, value }))
          .sort((a, b) => b.value - a.value)
          .slice(0, k)
          .sort((a, b) => a.token - b.token);
        const count = keepLargest(selection, values.length, k);
        expect(Array.from(selection.token.subarray(0, count))).toEqual(expected.map(({ token }) => token));
        expect(Array.from(selection.value.subarray(0, count))).toEqual(expected.map(({ value }) => value));
      }),
      { seed: 5 },
    );
  });
});
