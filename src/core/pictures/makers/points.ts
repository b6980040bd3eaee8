import type { EChartsOption, LineSeriesOption, ScatterSeriesOption } from "echarts";
import type { RunColumnName } from "../../metrics/catalogue.ts";
import type { Interval } from "../../results/interval.ts";
import { paretoFront } from "../../results/recommendation.ts";
import { metricOf } from "../../results/variants.ts";
import { listed } from "../../words.ts";
import {
  type AxisType,
  horizontal,
  type MetricAxis,
  metricAxis,
  metricAxisName,
  placesOnAxis,
  vertical,
} from "../parts/axes.ts";
import { type ErrorBar, endsOf, errorBars } from "../parts/error-bars.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import { labelSize, type PointLabel, pointLabels } from "../parts/point-labels.ts";
import type { ReportData, VariantData } from "../parts/report-data.ts";
import { drawnName, inWords, rounded, textWidth } from "../parts/text.ts";
import { variantColor, variantSymbol } from "../parts/theme.ts";
import { type Picture, pictureWidth, plotHeightOf } from "../picture.ts";

/** Price of balance: each variant's mean regret against its mean MaxVio, with the Pareto front. */
export function paretoPicture(data: ReportData, width = pictureWidth): Picture | null {
  const points = pointsOf(data, "regret_mean", "max_vio_batch_mean");
  if (points.length < 2) return null;
  const { series, notes, finding } = paretoLine(points, { x: "regret", y: "MaxVio" });
  return {
    id: "pareto",
    title: "Regret against MaxVio",
    reading: ["Lower is better on both axes.", ...notes, ...pointNotes(points)].join(" "),
    finding,
    ...pointsPicture(points, { x: "regret, mean", y: "MaxVio of a batch, mean" }, series, width),
  };
}

/**
 * Price of balance in training: each variant's task loss against its MaxVio. Both are of held-back data, routed as at
 * inference, if at least two variants have them; otherwise the loss is that of the last steps and MaxVio the mean of all.
 */
export function taskLossBalancePicture(data: ReportData, width = pictureWidth): Picture | null {
  const evaluated = pointsOf(data, "eval_max_vio", "eval_loss");
  const isEvaluated = evaluated.length >= 2;
  const points = isEvaluated ? evaluated : pointsOf(data, "max_vio_batch_mean", "task_loss");
  if (points.length < 2) return null;
  const { series, notes, finding } = paretoLine(points, { x: "MaxVio", y: "task loss" });
  return {
    id: "task-loss-balance",
    title: "Task loss against MaxVio",
    reading: [
      isEvaluated
        ? "Task loss and MaxVio of held-back data after the last step, routed as at inference. Lower is better on both axes."
        : "Task loss, mean over the last deadWindow steps, and MaxVio, mean over all steps. Lower is better on both axes.",
      ...notes,
      ...pointNotes(points),
    ].join(" "),
    finding,
    ...pointsPicture(
      points,
      isEvaluated
        ? { x: "MaxVio on held-back data", y: "task loss on held-back data" }
        : { x: "MaxVio of a batch, mean", y: "task loss, last steps" },
      series,
      width,
    ),
  };
}

const plotHeight = 340;
/** Pixels above the plot, for the name of the vertical axis. */
const aboveHeight = 40;
const leftMargin = 64;
const rightMargin = 40;
/** If names are longer than this in pixels, like those of a sweep's cells, only the legend shows them. */
const longestLabel = 150;

/** A variant as a point of two metrics, neither of which is ever negative. */
export interface VariantPoint {
  readonly variant: Pick<VariantData, "name" | "position" | "isFeatured">;
  readonly x: Interval;
  readonly y: Interval;
}

/** A line in the plane of the points. */
export type PointsLine = LineSeriesOption & { readonly name: string; readonly data: [x: number, y: number][] };

/** Functions that make an axis for the values on it. */
interface AxisMakers {
  readonly x?: (values: readonly number[]) => MetricAxis;
  readonly y?: (values: readonly number[]) => MetricAxis;
}

/** Returns the variants that have both metrics, by their columns of summary.csv. */
function pointsOf({ results, variants }: ReportData, x: RunColumnName, y: RunColumnName): VariantPoint[] {
  return variants.flatMap((variant): VariantPoint[] => {
    const [across, up] = [metricOf(results, variant, x), metricOf(results, variant, y)];
    return across === null || up === null ? [] : [{ variant, x: across, y: up }];
  });
}

/** Returns sentences that all pictures of points share, for their `reading`. */
export function pointNotes(points: readonly VariantPoint[]): string[] {
  const hasOthers = points.some(({ variant }) => !variant.isFeatured);
  const featured = points.filter(({ variant }) => variant.isFeatured);
  return [
    ...(featured.some(({ x, y }) => x.halfWidth !== null || y.halfWidth !== null)
      ? ["Points are means over the seeds, crosses their 95 % confidence intervals."]
      : []),
    ...(hasOthers ? ["The best variants are named; small grey dots are the others."] : []),
  ];
}

/**
 * The option of a picture of variants as points in a plane, and its height in pixels: featured ones in their colours and
 * with their names, the others as small dots behind them. Axes are logarithmic where the values are positive and far
 * apart. The picture is `width` pixels wide. `lines` are drawn through the points and listed in the legend.
 *
 * @param axisMakers by default, linear or logarithmic as the values need
 */
export function pointsPicture(
  points: readonly VariantPoint[],
  axes: { readonly x: string; readonly y: string },
  lines: readonly PointsLine[],
  width: number,
  axisMakers: AxisMakers = {},
): { option: EChartsOption; height: number } {
  const featured = points.filter(({ variant }) => variant.isFeatured);
  const others = points.filter(({ variant }) => !variant.isFeatured);
  const { legend, height } = legendOf(
    [
      ...featured.map(({ variant }) => ({ name: drawnName(variant.name), mark: "symbol" }) as const),
      ...strokes(lines.map(({ name }) => name)),
    ],
    width,
  );
  const plot = { width: width - leftMargin - rightMargin, height: plotHeightOf(width, plotHeight) };
  const bottom = height + 44;
  // Axes show the lines whole.
  const ends = lines.flatMap(({ data }) => data);
  const xs = [...points.map(({ x }) => x.mean), ...ends.map(([x]) => x)];
  const ys = [...points.map(({ y }) => y.mean), ...ends.map(([, y]) => y)];
  const { x: xAxisOf = metricAxis, y: yAxisOf = metricAxis } = axisMakers;
  const [xAxis, yAxis] = [xAxisOf(xs), yAxisOf(ys)];
  const labels = labelsOf(points, placesOnAxis(xs, xAxis), placesOnAxis(ys, yAxis), plot);
  return {
    height: aboveHeight + plot.height + bottom,
    option: {
      legend,
      grid: { left: leftMargin, right: rightMargin, top: aboveHeight, bottom },
      xAxis: {
        ...horizontal,
        splitLine: vertical.splitLine,
        ...xAxis,
        name: metricAxisName(axes.x, xAxis),
      },
      yAxis: { ...vertical, ...yAxis, name: metricAxisName(axes.y, yAxis) },
      tooltip: { trigger: "item" },
      series: [
        ...lines,
        ...(others.length === 0 ? [] : [otherPoints(others, axes)]),
        ...featured.flatMap((point, i) => [
          namedPoint(point, axes, labels[i]),
          ...cross(point, xAxis.type, yAxis.type),
        ]),
      ],
    },
  };
}

/**
 * The labels of the featured among `points`, in their order; null for all where the names are too long. `xs` and `ys` are the
 * places of all points on the axes, from 0 to 1; `plot` is in pixels.
 */
function labelsOf(
  points: readonly VariantPoint[],
  xs: readonly number[],
  ys: readonly number[],
  plot: { readonly width: number; readonly height: number },
): (PointLabel | null)[] {
  const { width, height } = plot;
  const placed = points.flatMap(({ variant }, i) =>
    variant.isFeatured ? [{ name: drawnName(variant.name), x: xs[i] * width, y: (1 - ys[i]) * height }] : [],
  );
  const isTooLong = placed.some(({ name }) => textWidth(name, labelSize) > longestLabel);
  return isTooLong ? placed.map(() => null) : pointLabels(placed, width, height);
}

function namedPoint(
  { variant, x, y }: VariantPoint,
  axes: { x: string; y: string },
  label: PointLabel | null,
): ScatterSeriesOption {
  return {
    name: drawnName(variant.name),
    type: "scatter",
    // A label that is a value is written as it is; ECharts would fill in what looks like a placeholder in a format.
    dimensions: [axes.x, axes.y, { name: "label", type: "ordinal" }],
    encode: { x: 0, y: 1, tooltip: [0, 1], label: 2 },
    color: variantColor(variant.position),
    symbol: variantSymbol(variant.position),
    symbolSize: 11,
    z: 4,
    label: {
      show: label !== null,
      position: label?.position ?? "right",
      color: "@text",
      fontSize: labelSize,
      minMargin: 5,
    },
    itemStyle: { opacity: 0.9 },
    // Above the bars of the intervals, or where there is room.
    labelLayout: { dy: label?.shift ?? 0 },
    labelLine: { show: label?.isFar ?? false, lineStyle: { color: "@mutedText", width: 0.8 } },
    data: [[rounded(x.mean), rounded(y.mean), label?.text ?? ""]],
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

/** The Pareto front of points, lower being better on both axes. */
interface ParetoLine {
  /** The line that joins them; empty if there is only one. */
  readonly series: readonly PointsLine[];
  /** Sentences for the picture's `reading`. */
  readonly notes: readonly string[];
  readonly finding: string;
}

/** @param axes their names in the picture's finding */
function paretoLine(points: readonly VariantPoint[], axes: { readonly x: string; readonly y: string }): ParetoLine {
  const front = paretoFront(points.map(({ x, y }) => ({ x: x.mean, y: y.mean }))).map((position) => points[position]);
  const names = front.map(
    ({ variant, x, y }) => `${drawnName(variant.name)} (${axes.x} ${inWords(x.mean)}, ${axes.y} ${inWords(y.mean)})`,
  );
  const finding = `${front.length} of ${points.length} ${front.length === 1 ? "is" : "are"} on the Pareto front: ${listed(names)}.`;
  if (front.length === 1) return { series: [], notes: [], finding };
  return {
    series: [
      {
        name: "Pareto front",
        type: "line",
        color: "@mutedText",
        symbol: "none",
        lineStyle: { type: "dashed", width: 1.2 },
        silent: true,
        tooltip: { show: false },
        data: front.map(({ x, y }) => [rounded(x.mean), rounded(y.mean)]),
      },
    ],
    notes: ["The line joins the Pareto front: no other point is at least as good on both axes and better on one."],
    finding,
  };
}
