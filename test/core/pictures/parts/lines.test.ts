import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cumulativePicture } from "../../../../src/core/pictures/makers/cumulative-picture.ts";
import { lineSeries, linesOf, runningMean, thinnedPositions } from "../../../../src/core/pictures/parts/lines.ts";
import type { StepSeries } from "../../../../src/core/results/results.ts";
import { plainData, plainResults, plainSeries } from "./plain-results.ts";

const column = "max_vio";

/** Lines of routers whose names are the keys of `series`. */
function linesOfSeries(series: Readonly<Record<string, readonly StepSeries[]>>) {
  const rows = Object.keys(series).map((router) => ({ router, kind: "topk" }));
  return linesOf(
    plainData(plainResults(rows), (name) => series[name]),
    column,
  );
}

describe("lines over the steps", () => {
  it("are the values themselves where there is one seed", () => {
    const { lines, notes } = linesOfSeries({ a: [plainSeries(column, [3, 1, 2])] });
    expect(lines[0].points).toEqual([
      { step: 0, value: 3, halfWidth: null },
      { step: 1, value: 1, halfWidth: null },
      { step: 2, value: 2, halfWidth: null },
    ]);
    expect(notes).toEqual([]);
  });

  it("are means over the seeds with Student's interval where there are several", () => {
    const { lines, notes } = linesOfSeries({
      a: [plainSeries(column, [1, 5]), plainSeries(column, [2, 5]), plainSeries(column, [6, 5])],
    });
    // Of 1, 2, 6: mean 3, deviation √7, and t = 4.3027 (tables, 2 degrees of freedom, two-sided 95 %).
    expect(lines[0].points[0].value).toBe(3);
    expect(lines[0].points[0].halfWidth).toBeCloseTo((4.3027 * Math.sqrt(7)) / Math.sqrt(3), 3);
    expect(lines[0].points[1]).toEqual({ step: 1, value: 5, halfWidth: 0 });
    expect(notes.join(" ")).toContain("95 %");
  });

  it("take the n-th measured steps of all seeds together, since each seed draws steps of its own for regret", () => {
    const [regret, gap] = ["regret_cumulative", Number.NaN] as const;
    const series = [plainSeries(regret, [gap, 1, gap, 4]), plainSeries(regret, [1.5, gap, gap, 5])];
    const data = plainData(plainResults([{ router: "a", kind: "topk" }]), () => series);
    const [{ points }] = linesOf(data, regret).lines;
    expect(points.map(({ step, value }) => [step, value])).toEqual([
      [1, 1.25],
      [3, 4.5],
    ]);
    expect(points.every(({ halfWidth }) => halfWidth! > 0)).toBe(true);
  });

  it("leave out steps without a value, and routers without any", () => {
    const { lines } = linesOfSeries({
      a: [plainSeries(column, [Number.NaN, 1, Number.NaN, 2])],
      b: [plainSeries(column, [Number.NaN, Number.NaN])],
    });
    expect(lines.map(({ name }) => name)).toEqual(["a"]);
    expect(lines[0].points.map(({ step, value }) => [step, value])).toEqual([
      [1, 1],
      [3, 2],
    ]);
  });

  it("are thinned to 600 points, keep their dips and say so", () => {
    const values = Array.from({ length: 5000 }, (_, step) => (step === 2718 ? 0 : 1 + (step % 7)));
    const { lines, notes } = linesOfSeries({ a: [plainSeries(column, values)] });
    expect(lines[0].points.length).toBeLessThanOrEqual(600);
    expect(lines[0].points).toContainEqual({ step: 2718, value: 0, halfWidth: null });
    expect(notes.join(" ")).toContain("600");
  });

  it("have no bands where there are too many of them", () => {
    const seeds = [plainSeries(column, [1, 2]), plainSeries(column, [2, 3])];
    const series = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`router ${i}`, seeds]));
    const { lines, notes } = linesOfSeries(series);
    expect(lines.every(({ points }) => points.every(({ halfWidth }) => halfWidth === null))).toBe(true);
    expect(notes).toEqual(["Lines are means over the seeds."]);
  });
});

describe("the series of a line", () => {
  it("mark a single point, which no line leads to", () => {
    const point = { step: 0, value: 1, halfWidth: null };
    expect(lineSeries({ name: "a", position: 0, points: [point] }, 0, 0)).toMatchObject([{ symbol: "circle" }]);
  });

  it("stack a band from below the mean to above it, cut where no value can be", () => {
    const points = [
      { step: 0, value: 3, halfWidth: 1 },
      { step: 1, value: 3, halfWidth: 4 },
    ];
    const [, lower, width] = lineSeries({ name: "a", position: 0, points }, 0, 0);
    expect(lower.data).toEqual([
      [0, 2],
      [1, 0],
    ]);
    expect(width.data).toEqual([
      [0, 2],
      [1, 7],
    ]);
    expect(lower.stack).toBe(width.stack);
  });
});

describe("a picture of sums", () => {
  const line = (values: readonly number[]) => ({
    name: "a",
    position: 0,
    points: values.map((value, step) => ({ step, value, halfWidth: null })),
  });

  it("leaves values that are not positive out of its logarithmic panel and says so", () => {
    const { option, notes } = cumulativePicture({ lines: [line([-1, 0, 0.02, 5])], notes: [] }, "sum");
    expect(option.series).toMatchObject([
      {
        xAxisIndex: 0,
        data: [
          [0, -1],
          [1, 0],
          [2, 0.02],
          [3, 5],
        ],
      },
      {
        xAxisIndex: 1,
        data: [
          [2, 0.02],
          [3, 5],
        ],
      },
    ]);
    expect(option.yAxis).toMatchObject([{ type: "value" }, { type: "log", min: 0.01, max: 10 }]);
    expect(notes.join(" ")).toContain("omits");
  });

  it("has no logarithmic panel where nothing is positive", () => {
    const { option } = cumulativePicture({ lines: [line([0, -1, -2])], notes: [] }, "sum");
    expect(option.xAxis).toHaveLength(1);
    expect(option.series).toHaveLength(1);
  });
});

describe("runningMean", () => {
  describe("a running mean", () => {
    it("is over as many values before a position as behind it, and over what there is at the end", () => {
      expect(runningMean([16, 8, 4, 0, 1], 1)).toEqual([16, 28 / 3, 4, 5 / 3, 0.5]);
      expect(runningMean([16, 8, 4, 0, 1], 9)).toEqual([16, 28 / 3, 29 / 5, 29 / 5, 29 / 5]);
    });

    it("is the values themselves for a radius of 0", () => {
      expect(runningMean([3, 1, 2], 0)).toEqual([3, 1, 2]);
    });

    it("passes over what is not there", () => {
      expect(runningMean([2, Number.NaN, 4], 1)).toEqual([2, 3, 4]);
      expect(runningMean([Number.NaN], 1)).toEqual([Number.NaN]);
    });

    it("is the mean of the values around, added up one by one", () => {
      const values = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { maxLength: 40 });
      fc.assert(
        fc.property(values, fc.nat(10), (all, radius) => {
          const expected = all.map((_, at) => {
            const reach = Math.min(radius, at);
            const around = all.slice(at - reach, at + reach + 1);
            return around.reduce((sum, value) => sum + value, 0) / around.length;
          });
          // Differences of sums below 4e4 are rounded to some 1e-11.
          for (const [at, mean] of runningMean(all, radius).entries()) expect(mean).toBeCloseTo(expected[at], 9);
        }),
      );
    });
  });
});

describe("thinnedPositions", () => {
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
});
