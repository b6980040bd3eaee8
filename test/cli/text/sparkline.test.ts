import { describe, expect, it } from "vitest";
import { binMeans, sparklines } from "../../../src/cli/text/sparkline.ts";

describe("sparklines", () => {
  it("draws eighths of the scale from 0 to the largest value, as block characters of eight heights", () => {
    const { lines, top } = sparklines([
      [1, 2, 3, 4, 5, 6, 7, 8],
      [0, 8],
    ]);
    expect(lines).toEqual(["▁▂▃▄▅▆▇█", "▁█"]);
    expect(top).toBe(8);
  });

  it("puts all lines on one scale, so that a constant is as high as it is next to the others", () => {
    expect(
      sparklines([
        [2, 2, 2],
        [8, 8],
        [0, 0],
      ]).lines,
    ).toEqual(["▂▂▂", "██", "▁▁"]);
  });

  it("has the lowest blocks for zeros alone, and nothing for no steps", () => {
    expect(sparklines([[0, 0, 0]])).toEqual({ lines: ["▁▁▁"], top: 0 });
    expect(sparklines([[], []])).toEqual({ lines: ["", ""], top: 0 });
    expect(sparklines([])).toEqual({ lines: [], top: 0 });
  });

  it("squeezes a long line into 20 characters that each stand for as many steps", () => {
    // Steps of height: 1 000 steps of 0, of which the last 50, the last character's, are 8.
    const series = Array.from({ length: 1000 }, (_, step) => (step < 950 ? 0 : 8));
    expect(sparklines([series])).toEqual({ lines: [`${"▁".repeat(19)}█`], top: 8 });
    expect(Array.from(sparklines([Array.from({ length: 21 }, () => 1)]).lines[0]).length).toBe(20);
  });

  it("shows a peak of one step by its share in the mean of its neighbours", () => {
    // 100 in one of 50 steps, and 0 in the others.
    const series = Array.from({ length: 1000 }, (_, step) => (step === 120 ? 100 : 0));
    const { lines, top } = sparklines([series]);
    expect(top).toBe(2);
    expect(lines).toEqual([`▁▁█${"▁".repeat(17)}`]);
  });
});

describe("binMeans", () => {
  it.each([1, 2, 3, 7, 20, 41])(
    "counts each of 41 values once in %d bins whose sizes differ by one at most",
    (bins) => {
      const values = Array.from({ length: 41 }, (_, i) => i * i);
      const means = binMeans(values, bins);
      // Cuts the values by walking over them: a bin ends where its share of the length does.
      const expected: number[] = [];
      let start = 0;
      for (let bin = 1; bin <= bins; bin++) {
        const part = values.slice(start, Math.floor((bin * 41) / bins));
        expect([Math.floor(41 / bins), Math.ceil(41 / bins)]).toContain(part.length);
        expected.push(part.reduce((sum, value) => sum + value, 0) / part.length);
        start += part.length;
      }
      expect(start).toBe(41);
      expect(means).toEqual(expected);
    },
  );
});
