import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { thinnedPositions } from "../../../../src/core/pictures/parts/thinning.ts";

describe("thinning a line", () => {
  it("leaves a short line as it is", () => {
    expect(thinnedPositions([3, 1, 2], 4)).toEqual([0, 1, 2]);
    expect(thinnedPositions([], 4)).toEqual([]);
  });

  it("keeps a single dip of a long flat line", () => {
    const values = new Array<number>(5000).fill(1);
    values[3333] = 0;
    expect(thinnedPositions(values, 600)).toContain(3333);
  });

  it("keeps both ends, the highest and the lowest value, and never more than asked for", () => {
    const line = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(line, fc.integer({ min: 4, max: 80 }), (values, most) => {
        const kept = thinnedPositions(values, most);
        expect(kept.length).toBeLessThanOrEqual(Math.max(most, 1));
        expect(kept).toEqual(Array.from(new Set(kept)).sort((a, b) => a - b));
        expect(kept[0]).toBe(0);
        expect(kept[kept.length - 1]).toBe(values.length - 1);
        const left = kept.map((position) => values[position]);
        expect(Math.max(...left)).toBe(Math.max(...values));
        expect(Math.min(...left)).toBe(Math.min(...values));
      }),
      { seed: 1 },
    );
  });

  it("keeps some of every stretch of the line", () => {
    const kept = thinnedPositions(
      Array.from({ length: 1000 }, (_, i) => Math.sin(i)),
      100,
    );
    const gaps = kept.slice(1).map((position, i) => position - kept[i]);
    // Each of the 49 stretches of about 20 has one, so that two of them are never further apart than two stretches.
    expect(Math.max(...gaps)).toBeLessThan(2 * Math.ceil(998 / 49));
  });
});
