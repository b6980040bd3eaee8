import { ascending, cumsum, range } from "d3-array";
import type { LineSeriesOption } from "echarts";
import type { LoadSeries } from "../../results/results.ts";
import { horizontal, vertical } from "../parts/axes.ts";
import { firstSeedNotes, leftOutNotes, rangeSentence, subjectShown } from "../parts/findings.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import type { ReportData } from "../parts/report-data.ts";
import { drawnName, rounded } from "../parts/text.ts";
import { variantColor, variantDash } from "../parts/theme.ts";
import { type Picture, pictureWidth, plotHeightOf } from "../picture.ts";

const plotHeight = 380;
/** Maximum points of a curve. */
const mostPoints = 257;
/** Share of the experts that the finding refers to. */
const busiest = 0.25;

/** Lorenz curves (1905) of the loads summed over the recorded steps: how few experts do how much of the work. */
export function loadCurvesPicture(data: ReportData, width = pictureWidth): Picture | null {
  const curves = data.variants.flatMap(({ name, position, loads }) => {
    const shares = loads === null ? null : lorenzCurve(totalLoads(loads));
    return shares === null ? [] : [{ name: drawnName(name), position, shares }];
  });
  if (curves.length === 0) return null;
  const perfect = "perfect balance";
  const { legend, height } = legendOf(strokes([...curves.map(({ name }) => name), perfect]), width);
  const bottom = height + 44;
  return {
    id: "load-curves",
    title: "Sorted loads",
    reading: [
      "The share of all pairs on the least loaded experts, cumulated, over the steps in loads.csv. The straight line is " +
        "perfect balance; the further below it a curve runs, the fewer experts do the work.",
      ...firstSeedNotes(data),
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      subjectShown("The share of the pairs that the busiest quarter of the experts takes", data, "first"),
      curves.map(({ name, shares }) => ({ name, value: 1 - shareAt(shares, 1 - busiest) })),
    ),
    height: plotHeightOf(width, plotHeight) + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: { ...horizontal, type: "value", name: "share of the experts, least loaded first", min: 0, max: 1 },
      yAxis: { ...vertical, type: "value", name: "share of the pairs", min: 0, max: 1 },
      tooltip: { trigger: "axis" },
      series: [
        {
          name: perfect,
          type: "line",
          color: "@mutedText",
          symbol: "none",
          lineStyle: { type: "dotted", width: 1 },
          silent: true,
          tooltip: { show: false },
          data: [
            [0, 0],
            [1, 1],
          ],
        },
        ...curves.map(
          ({ name, position, shares }): LineSeriesOption => ({
            name,
            type: "line",
            color: variantColor(position),
            symbol: "none",
            lineStyle: { type: variantDash(position), width: 1.5 },
            data: sampledCurve(shares),
          }),
        ),
      ],
    },
  };
}

/** `[experts]`, summed over the steps of `loads`. */
export function totalLoads({ load, experts }: LoadSeries): number[] {
  const total = new Array<number>(experts).fill(0);
  for (const [position, count] of load.entries()) total[position % experts] += count;
  return total;
}

/**
 * Returns `[experts + 1]`: at n, the share of all load on the n least loaded experts, from 0 to 1. Null if there is no
 * load.
 */
export function lorenzCurve(loads: readonly number[]): number[] | null {
  const sums = cumsum(loads.toSorted(ascending));
  const total = sums[sums.length - 1];
  return total > 0 ? [0, ...Array.from(sums, (sum) => sum / total)] : null;
}

/** Returns the curve at the share `x` of the experts, by linear interpolation. */
function shareAt(shares: readonly number[], x: number): number {
  const place = x * (shares.length - 1);
  const below = Math.floor(place);
  return shares[below] + (place - below) * ((shares[below + 1] ?? 1) - shares[below]);
}

function sampledCurve(shares: readonly number[]): [number, number][] {
  const last = shares.length - 1;
  const count = Math.min(shares.length, mostPoints);
  return range(count).map((i) => {
    const position = Math.round((i * last) / (count - 1));
    return [rounded(position / last), rounded(shares[position])];
  });
}
