import type { EChartsOption, LineSeriesOption, ScatterSeriesOption } from "echarts";
import type { Interval } from "../results/interval.ts";
import { horizontal, spansDecades, tooltipStyle, vertical } from "./axes.ts";
import { legendOf, strokes } from "./legend.ts";
import type { VariantData } from "./report-data.ts";
import { drawnName, rounded } from "./text.ts";
import { variantColor, variantSymbol } from "./theme.ts";

const plotHeight = 380;

/** A variant between two metrics, neither of which is ever negative. */
export interface VariantPoint {
  readonly variant: VariantData;
  readonly x: Interval;
  readonly y: Interval;
}

/** Sentences on what all pictures of points share, for their `reading`. */
export function pointNotes(points: readonly VariantPoint[]): string[] {
  const hasOthers = points.some(({ variant }) => !variant.isFeatured);
  const featured = points.filter(({ variant }) => variant.isFeatured);
  return [
    ...(featured.some(({ x, y }) => (x.halfWidth ?? y.halfWidth) !== null)
      ? ["Points are means over the seeds, crosses their 95 % confidence intervals."]
      : []),
    ...(hasOthers ? ["The best variants are named; the others are small grey dots."] : []),
  ];
}

/**
 * The option of a picture of variants as points in a plane, and its height in pixels: featured ones in their colours and
 * with their names, the others as small dots behind them. Axes are logarithmic where the values are positive and far
 * apart. `lines` are drawn through the points and listed in the legend.
 */
export function pointsPicture(
  points: readonly VariantPoint[],
  axes: { readonly x: string; readonly y: string },
  lines: readonly (LineSeriesOption & { name: string })[],
): { option: EChartsOption; height: number } {
  const featured = points.filter(({ variant }) => variant.isFeatured);
  const others = points.filter(({ variant }) => !variant.isFeatured);
  const { legend, height } = legendOf([
    ...featured.map(({ variant }) => ({ name: drawnName(variant.name), mark: "symbol" }) as const),
    ...strokes(lines.map(({ name }) => name)),
  ]);
  const bottom = height + 44;
  const xType = typeOf(points.map(({ x }) => x.mean));
  const yType = typeOf(points.map(({ y }) => y.mean));
  return {
    height: plotHeight + bottom,
    option: {
      legend,
      grid: { left: 64, right: 40, top: 40, bottom },
      xAxis: { ...horizontal, splitLine: vertical.splitLine, type: xType, name: axes.x },
      yAxis: { ...vertical, type: yType, name: axes.y },
      tooltip: { trigger: "item", ...tooltipStyle },
      series: [
        ...lines,
        ...(others.length === 0 ? [] : [otherPoints(others, axes)]),
        ...featured.flatMap((point) => [namedPoint(point, axes), ...cross(point, xType, yType)]),
      ],
    },
  };
}

function typeOf(values: readonly number[]): "log" | "value" {
  return spansDecades(values) ? "log" : "value";
}

function namedPoint({ variant, x, y }: VariantPoint, axes: { x: string; y: string }): ScatterSeriesOption {
  return {
    name: drawnName(variant.name),
    type: "scatter",
    dimensions: [axes.x, axes.y],
    encode: { x: 0, y: 1, tooltip: [0, 1] },
    color: variantColor(variant.position),
    symbol: variantSymbol(variant.position),
    symbolSize: 11,
    z: 4,
    label: {
      show: true,
      formatter: "{a}",
      position: "right",
      color: "@text",
      fontSize: 11,
      width: 180,
      overflow: "truncate",
    },
    itemStyle: { opacity: 0.9 },
    labelLayout: { hideOverlap: true },
    data: [[rounded(x.mean), rounded(y.mean)]],
  };
}

function otherPoints(points: readonly VariantPoint[], axes: { x: string; y: string }): ScatterSeriesOption {
  return {
    type: "scatter",
    dimensions: [axes.x, axes.y],
    encode: { x: 0, y: 1, tooltip: [0, 1] },
    color: "@mutedText",
    symbolSize: 5,
    data: points.map(({ variant, x, y }) => ({
      name: drawnName(variant.name),
      value: [rounded(x.mean), rounded(y.mean)],
    })),
  };
}

/** The confidence intervals of both metrics around the point. */
function cross({ variant, x, y }: VariantPoint, xType: string, yType: string): LineSeriesOption[] {
  const bars = [
    ...endsOf(x, xType).map((end) => [end, rounded(y.mean)]),
    [null, null],
    ...endsOf(y, yType).map((end) => [rounded(x.mean), end]),
  ];
  if (bars.length === 1) return [];
  return [
    {
      name: drawnName(variant.name),
      type: "line",
      color: variantColor(variant.position),
      symbol: "none",
      lineStyle: { width: 1.2 },
      silent: true,
      tooltip: { show: false },
      data: bars as [number, number][],
    },
  ];
}

/** The ends of an interval of a metric that is never negative; none where a logarithmic axis could not show it. */
function endsOf({ mean, halfWidth }: Interval, type: string): number[] {
  if (halfWidth === null || (type === "log" && halfWidth >= mean)) return [];
  return [rounded(Math.max(0, mean - halfWidth)), rounded(mean + halfWidth)];
}
