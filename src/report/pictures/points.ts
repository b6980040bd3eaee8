import { max } from "d3-array";
import type { EChartsOption, LineSeriesOption, ScatterSeriesOption } from "echarts";
import type { Interval } from "../results/interval.ts";
import { type AxisType, axisTypeOf, horizontal, metricAxis, vertical } from "./axes.ts";
import { type ErrorBar, endsOf, errorBars } from "./error-bars.ts";
import { legendOf, strokes } from "./legend.ts";
import type { VariantData } from "./report-data.ts";
import { drawnName, rounded } from "./text.ts";
import { textWidth } from "./text-width.ts";
import { variantColor, variantSymbol } from "./theme.ts";

const plotHeight = 380;
const labelSize = 11;
/** Names that are longer than this in pixels, as those of a sweep's cells, are left to the legend. */
const longestLabel = 150;

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
    ...(featured.some(({ x, y }) => x.halfWidth !== null || y.halfWidth !== null)
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
  const isLabelled = max(featured, ({ variant }) => textWidth(drawnName(variant.name), labelSize))! <= longestLabel;
  const xType = axisTypeOf(points.map(({ x }) => x.mean));
  const yType = axisTypeOf(points.map(({ y }) => y.mean));
  return {
    height: plotHeight + bottom,
    option: {
      legend,
      grid: { left: 64, right: 40, top: 40, bottom },
      xAxis: {
        ...horizontal,
        splitLine: vertical.splitLine,
        ...metricAxis(points.map(({ x }) => x.mean)),
        name: axes.x,
      },
      yAxis: { ...vertical, ...metricAxis(points.map(({ y }) => y.mean)), name: axes.y },
      tooltip: { trigger: "item" },
      series: [
        ...lines,
        ...(others.length === 0 ? [] : [otherPoints(others, axes)]),
        ...featured.flatMap((point) => [namedPoint(point, axes, isLabelled), ...cross(point, xType, yType)]),
      ],
    },
  };
}

function namedPoint(
  { variant, x, y }: VariantPoint,
  axes: { x: string; y: string },
  isLabelled: boolean,
): ScatterSeriesOption {
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
      show: isLabelled,
      formatter: "{a}",
      position: "right",
      color: "@text",
      fontSize: labelSize,
      minMargin: 5,
    },
    itemStyle: { opacity: 0.9 },
    // Above the bars of the intervals.
    labelLayout: { hideOverlap: true, dy: -8 },
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
function cross({ variant, x, y }: VariantPoint, xType: AxisType, yType: AxisType): LineSeriesOption[] {
  const [xMean, yMean] = [rounded(x.mean), rounded(y.mean)];
  const across = endsOf(x, xType)?.map((end) => [end, yMean] as const);
  const upright = endsOf(y, yType)?.map((end) => [xMean, end] as const);
  const bars = [across, upright].flatMap((ends): ErrorBar[] => (ends === undefined ? [] : [[ends[0], ends[1]]]));
  return errorBars(drawnName(variant.name), variantColor(variant.position), bars);
}
