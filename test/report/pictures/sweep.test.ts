import { expect, it } from "vitest";
import { sweepPanel } from "../../../src/report/pictures/sweep.ts";
import { plainData, plainResults } from "./plain-results.ts";

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
