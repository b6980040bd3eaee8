import type { LineSeriesOption } from "echarts";
import type { Interval } from "../../results/interval.ts";
import type { AxisType } from "./axes.ts";
import { rounded } from "./text.ts";

/** A place on both axes. */
export type ErrorBarEnd = readonly [x: number, y: number];

/** A bar that joins two points of a picture. */
export type ErrorBar = readonly [from: ErrorBarEnd, to: ErrorBarEnd];

/**
 * Returns the ends of an interval of a metric that is never negative; null if there is no interval, or a logarithmic
 * axis cannot show it.
 */
export function endsOf({ mean, halfWidth }: Interval, axis: AxisType): [number, number] | null {
  if (halfWidth === null || (axis === "log" && halfWidth >= mean)) return null;
  return [rounded(Math.max(0, mean - halfWidth)), rounded(mean + halfWidth)];
}

/**
 * Series that draws `bars`, without tooltip. It shares the name of what the bars belong to, so they are hidden
 * together.
 */
export function errorBars(name: string, color: string, bars: readonly ErrorBar[]): LineSeriesOption[] {
  if (bars.length === 0) return [];
  const pause = [null, null];
  return [
    {
      name,
      type: "line",
      color,
      symbol: "none",
      lineStyle: { width: 1.2, opacity: 0.6 },
      silent: true,
      tooltip: { show: false },
      data: bars.flatMap(([from, to]) => [from, to, pause]) as [number, number][],
    },
  ];
}
