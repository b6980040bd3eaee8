import { expect, it } from "vitest";
import { panelSeries, sweepPanel } from "../../../../src/core/pictures/makers/sweep.ts";
import { plainData, plainResults } from "../parts/plain-results.ts";

const rate = "routers.alf-lb.updateRate";
const rule = "routers.alf-lb.updateRule";

/** MaxVio 10·rate for the rule `sign` and 20·rate for `proportional`, ± 1 over two seeds; largest rate first. */
const data = plainData(
  plainResults(
    ["0.5", "0.25", "2"].flatMap((value) =>
      ["sign", "proportional"].flatMap((name) =>
        [-1, 1].map((offset) => ({
          router: "alf-lb",
          kind: "alf-lb",
          [rate]: value,
          [rule]: name,
          max_vio_batch_mean: (name === "sign" ? 10 : 20) * Number(value) + offset,
        })),
      ),
    ),
    [rate, rule],
  ),
);

it("draws a line over a number's values in rising order, one for each value of the other parameters", () => {
  const panel = sweepPanel(data, rate)!;
  expect(panel).toMatchObject({ parameter: "updateRate", values: [0.25, 0.5, 2], isNumeric: true, leftOut: 0 });
  expect(panel.lines.map(({ name }) => name)).toEqual(["alf-lb updateRule=sign", "alf-lb updateRule=proportional"]);
  const [sign] = panel.lines;
  expect(sign.points.map(({ value, maxVio }) => [value, maxVio.mean])).toEqual([
    [0.25, 2.5],
    [0.5, 5],
    [2, 20],
  ]);
  // Of ± 1: deviation √2, divided by √2, times t = 12.706 (tables, 1 degree of freedom, two-sided 95 %).
  for (const { maxVio } of sign.points) expect(maxVio.halfWidth).toBeCloseTo(12.706, 3);
});

it("draws words in the order of the sweep", () => {
  const panel = sweepPanel(data, rule)!;
  expect(panel).toMatchObject({ parameter: "updateRule", values: ["sign", "proportional"], isNumeric: false });
  expect(panel.lines.map(({ name }) => name)).toEqual([
    "alf-lb updateRate=0.5",
    "alf-lb updateRate=0.25",
    "alf-lb updateRate=2",
  ]);
});

it("has nothing to show of a parameter with one value", () => {
  const rows = [1, 2].map((seed) => ({ router: "ssr", kind: "ssr", seed, p: "0.1", max_vio_batch_mean: 1 }));
  expect(sweepPanel(plainData(plainResults(rows, ["p"])), "p")).toBeNull();
});

it("keeps the twelve lines that get lowest", () => {
  const rows = Array.from({ length: 20 }, (_, i) =>
    ["1", "2"].map((p) => ({ router: `r${i}`, kind: "ssr", p, max_vio_batch_mean: 20 - i })),
  ).flat();
  const panel = sweepPanel(plainData(plainResults(rows, ["p"])), "p")!;
  expect(panel.leftOut).toBe(8);
  expect(panel.lines.map(({ name }) => name)).toEqual(Array.from({ length: 12 }, (_, i) => `r${i + 8}`));
});

/** The points of the lines of a panel, without its bars. */
function placesOf(path: string) {
  const series = panelSeries(sweepPanel(data, path)!, "value");
  return series.filter(({ symbol }) => symbol === "circle").map((line) => line.data as [number, number, string][]);
}

it("puts lines with intervals beside one another, in their order, and tells the pointer the value itself", () => {
  const [sign, proportional] = placesOf(rate);
  for (const [i, value] of [0.25, 0.5, 2].entries()) {
    // 5 pixels apart on an axis from 0.25 to 2 that is 856 pixels long without 24 at each end; places have five digits.
    expect(proportional[i][0] - sign[i][0]).toBeCloseTo((5 / 808) * 1.75, 3);
    expect((proportional[i][0] + sign[i][0]) / 2).toBeCloseTo(value, 3);
    expect([sign[i][2], proportional[i][2]]).toEqual([String(value), String(value)]);
  }
  const words = placesOf(rule);
  for (const [line, points] of words.entries()) {
    for (const [i, word] of ["sign", "proportional"].entries()) {
      // Two words share the axis, and the line in the middle of three stands where they do.
      expect(points[i][0]).toBeCloseTo(i + (line - 1) * (5 / 856) * 2, 3);
      expect(points[i][2]).toBe(word);
    }
  }
});

it("draws each bar through its point", () => {
  const series = panelSeries(sweepPanel(data, rate)!, "value");
  for (const [i, bars] of series.entries()) {
    if (bars.symbol !== "none") continue;
    const [[x, y]] = series[i - 1].data as [number, number][];
    const [[fromX, from], [toX, to]] = bars.data as [number, number][];
    expect([fromX, toX]).toEqual([x, x]);
    expect(from <= y && y <= to).toBe(true);
  }
  expect(series.filter(({ symbol }) => symbol === "none")).toHaveLength(2);
});

it("leaves lines without intervals at their values", () => {
  const rows = ["1", "2"].flatMap((p) =>
    ["a", "b"].map((router) => ({ router, kind: "ssr", p, max_vio_batch_mean: 1 })),
  );
  for (const { data } of panelSeries(sweepPanel(plainData(plainResults(rows, ["p"])), "p")!, "value")) {
    expect((data as number[][]).map(([x]) => x)).toEqual([1, 2]);
  }
});
