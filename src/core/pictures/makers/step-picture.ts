import { max, mean, min, nice, tickStep } from "d3-array";
import type { EChartsOption, LineSeriesOption, ScatterSeriesOption, YAXisComponentOption } from "echarts";
import { metrics } from "../../metrics/catalogue.ts";
import type { StepSeries } from "../../results/results.ts";
import { fallingAxis, stepAxis, vertical, verticalName } from "../parts/axes.ts";
import { type NamedValue, namedMetric, rangeSentence } from "../parts/findings.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import { type Line, type LinePoint, lineSeries, linesOf, runningMean } from "../parts/lines.ts";
import { type PanelLayout, panelTitles, placePanels, titlesHeight } from "../parts/panels.ts";
import type { ReportData, VariantData } from "../parts/report-data.ts";
import { capitalized, drawnName, inWords, rounded } from "../parts/text.ts";
import { variantColor } from "../parts/theme.ts";
import { type Picture, type PictureMaker, pictureWidth, plotHeightOf } from "../picture.ts";

/** MaxVio of each step, a line per variant. Wang et al. 2024, arXiv 2408.15664. */
export function maxVioPicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = stepPicture(data, width, { column: "max_vio", yName: "MaxVio", least: 0 });
  if (drawn === null) return null;
  const { notes, ...picture } = drawn;
  return {
    id: "max-vio",
    title: "MaxVio over the steps",
    reading: [
      "How far the fullest expert is above the mean load on each step; 0 is perfect balance, and lower is better.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("MaxVio, mean over the steps,", namedMetric(data, "max_vio_batch_mean")),
    ...picture,
  };
}

/** The loss of the task that the stream trains on, a smoothed line per variant. */
export function taskLossPicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = stepPicture(data, width, {
    column: "task_loss",
    yName: "task loss",
    isFalling: true,
    least: 0,
    figure: null,
  });
  if (drawn === null) return null;
  const { notes, ...picture } = drawn;
  return {
    id: "task-loss",
    title: "Task loss over the steps",
    reading: [
      "The loss of the model in training on each batch, before learning from it. Lower is better; a line that falls sooner " +
        "has learned faster.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("Task loss, mean over the last deadWindow steps,", namedMetric(data, "task_loss")),
    ...picture,
  };
}

/** The share of experts without a token on each step, in percent, a line per variant. */
export function idlePicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = stepPicture(data, width, { column: "idle_fraction", yName: "idle experts, %", least: 0, factor: 100 });
  if (drawn === null) return null;
  const { notes, ...picture } = drawn;
  const isNeverIdle = data.variants.every(({ series }) =>
    series.every(({ columns }) => columns.idle_fraction.every((value) => !(value > 0))),
  );
  return {
    id: "idle",
    title: "Idle experts over the steps",
    reading: [
      "The share of experts without a token on each step, in percent. An idle expert takes memory and learns nothing: 0 is best.",
      ...notes,
    ].join(" "),
    finding: isNeverIdle
      ? "No expert is idle on any step."
      : rangeSentence(
          "The share of idle experts, in percent, mean over the steps,",
          namedMetric(data, "idle_fraction_mean").map(({ name, value }) => ({ name, value: 100 * value })),
        ),
    ...picture,
  };
}

/** Draws the column `column` of steps.csv over the steps, a line per variant. */
export function stepMetricPicture(column: string): PictureMaker {
  const isSum = column.endsWith("_cumulative");
  const metric = metrics.find(({ id, step }) => id === column && step?.file === "steps");
  const label = metric?.label ?? column.replaceAll("_", " ");
  return (data, width): Picture | null => {
    const drawn = stepPicture(data, width, { column, yName: label, figure: isSum ? "last" : "mean" });
    if (drawn === null) return null;
    const { notes, ...picture } = drawn;
    return {
      id: column.replaceAll("_", "-"),
      title: `${capitalized(label)} over the steps`,
      reading:
        [...(metric === undefined ? [] : [`${capitalized(metric.definition)}.`]), ...notes].join(" ") ||
        "One line per router.",
      finding: rangeSentence(
        isSum ? `${capitalized(label)} on the last step` : `${capitalized(label)}, mean over the steps,`,
        figuresOf(data, column, isSum),
      ),
      ...picture,
    };
  };
}

/** For each variant with values: their mean over steps and seeds, or that of the last step. */
function figuresOf({ variants }: ReportData, column: string, ofLast: boolean): NamedValue[] {
  return variants.flatMap(({ name, series }) => {
    const values = series.flatMap(({ columns }) => {
      const known = columns[column].filter((value) => !Number.isNaN(value));
      return ofLast ? known.slice(-1) : known;
    });
    const sum = values.reduce((total, value) => total + value, 0);
    return values.length === 0 ? [] : [{ name: drawnName(name), value: sum / values.length }];
  });
}

/** More lines would hide each other, and get a plot each. */
const mostTogether = 4;
const plotHeight = 340;
const panelHeight = 130;
const margins = { left: 66, right: 18, below: 46, foot: 4 } as const;
/** Minimum readable width of a panel with its margins. */
const leastPanelWidth = 280;
const axisTicks = 4;
/** A running mean over this fraction of the steps smooths the noise of the batches, but not the run's course. */
const smoothedPart = 1 / 30;

/** What a picture of a metric over the steps shows, and how. */
interface StepPictureOptions {
  /** The metric's column in steps.csv. */
  readonly column: string;
  readonly yName: string;
  /** Factor from the column to the unit of `yName`, such as 100 for percent; default 1. */
  readonly factor?: number;
  /** Whether the low values at the end are the ones to tell apart. */
  readonly isFalling?: boolean;
  /** Lower bound of the metric; absent if it has none. */
  readonly least?: number;
  /** What the title of a variant's own plot shows besides its name. */
  readonly figure?: "mean" | "last" | null;
}

interface StepPicture {
  readonly option: EChartsOption;
  readonly height: number;
  readonly panels?: PanelLayout;
  /** Sentences for the picture's `reading`. */
  readonly notes: readonly string[];
}

/**
 * Draws a metric over the steps, a line per variant: in one plot if there are few, otherwise one plot each on the same
 * axes. Lines are running means, with the individual steps faintly behind them. For a router that solves on only some
 * steps, those are dots and the line shows the others: one line would zigzag between the two. Null if no variant has a
 * value.
 */
function stepPicture(written: ReportData, width: number, options: StepPictureOptions): StepPicture | null {
  const { column, yName, factor = 1 } = options;
  const data =
    factor === 1 ? written : changed(written, column, ({ columns }) => columns[column].map((value) => factor * value));
  const steps = max(data.variants, ({ series }) => max(series, ({ step }) => step.length)) ?? 0;
  const radius = Math.round((smoothedPart * steps) / 2);
  const hasSeeds = data.variants.some(({ members }) => members.length > 1);
  const between = changed(data, column, ({ columns }, variant) =>
    isMixed(variant)
      ? columns[column].map((value, at) => (isSolved(columns, at) ? Number.NaN : value))
      : columns[column],
  );
  const chosen = changed(data, column, ({ columns }, variant) =>
    columns[column].map((value, at) => (isMixed(variant) && isSolved(columns, at) ? value : Number.NaN)),
  );
  const smooth = changed(between, column, ({ columns }) =>
    runningMean(columns[column], radius).map((value, at) => (Number.isNaN(columns[column][at]) ? Number.NaN : value)),
  );
  const { lines, notes } = linesOf(smooth, column, 2);
  const noise = radius === 0 || hasSeeds ? [] : linesOf(between, column, 2).lines;
  const dots = linesOf(chosen, column).lines;
  if (lines.length + dots.length === 0) return null;
  const draw = lines.length > mostTogether ? apart : together;
  return {
    notes: [
      ...(data.variants.some(({ layers }) => layers !== null)
        ? ["Each step's value is the mean over the layers."]
        : []),
      ...(radius > 0 ? [`Lines are running means over ${2 * radius + 1} steps.`] : []),
      ...(noise.length > 0 ? ["The faint lines behind them are the individual steps."] : []),
      ...(dots.length > 0
        ? ["For a router that solves on only some steps, dots are those steps and the line is the others."]
        : []),
      ...notes,
    ],
    ...draw(data, { lines, noise, dots }, width, { ...options, yName }),
  };
}

interface DrawnLines {
  readonly lines: readonly Line[];
  readonly noise: readonly Line[];
  readonly dots: readonly Line[];
}

/** All lines in one plot, with a legend. */
function together(
  _: ReportData,
  drawn: DrawnLines,
  width: number,
  { yName, isFalling = false, least }: StepPictureOptions,
): { option: EChartsOption; height: number } {
  const { legend, height } = legendOf(strokes(drawn.lines.map(({ name }) => name)), width);
  const bottom = height + 44;
  const axis = isFalling ? fallingAxis(rangesOf(drawn)) : ({ type: "value", scale: isFarFromZero(drawn) } as const);
  const isLogarithmic = axis.type === "log";
  return {
    height: plotHeightOf(width, plotHeight) + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: stepAxis(stepsOf(drawn)),
      yAxis: { ...vertical, name: isLogarithmic ? `${yName}, logarithmic` : yName, ...axis },
      tooltip: { trigger: "axis" },
      series: allSeries(drawn, () => 0, isLogarithmic ? axis.min : least),
    },
  };
}

/** A plot for each line, all with the same axes, with its name and figure above it. */
function apart(
  data: ReportData,
  drawn: DrawnLines,
  width: number,
  { column, yName, isFalling = false, least, figure = "mean" }: StepPictureOptions,
): { option: EChartsOption; height: number; panels: PanelLayout } {
  const { lines } = drawn;
  const falling = isFalling ? fallingAxis(rangesOf(drawn)) : ({ type: "value" } as const);
  const axis: YAXisComponentOption = falling.type === "log" ? falling : commonAxis(drawn);
  const lowest = falling.type === "log" ? falling.min : least;
  const steps = stepAxis(stepsOf(drawn));
  const titles = lines.map(({ name, position }) =>
    [name, ...figureOf(data.variants.find((variant) => variant.position === position)!, column, figure)].join(" · "),
  );
  const columns = Math.max(1, Math.min(3, Math.floor(width / leastPanelWidth)));
  const plotWidth = width / columns - margins.left - margins.right;
  const panels: PanelLayout = {
    ...margins,
    columns,
    leastWidth: leastPanelWidth,
    above: titlesHeight(titles, plotWidth) + 12,
    plotHeight: panelHeight,
  };
  const option: EChartsOption = {
    title: panelTitles(titles),
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    xAxis: lines.map((_, gridIndex) => ({ ...steps, gridIndex })),
    yAxis: lines.map((_, gridIndex) => ({
      ...vertical,
      ...verticalName,
      ...axis,
      name: falling.type === "log" ? `${yName}, log` : yName,
      gridIndex,
    })),
    tooltip: { trigger: "axis" },
    series: allSeries(drawn, ({ position }) => lines.findIndex((line) => line.position === position), lowest),
  };
  return { option, panels, height: placePanels({ option, panels }, width).height };
}

function allSeries(
  { lines, noise, dots }: DrawnLines,
  panelOf: (line: Line) => number,
  least = Number.NEGATIVE_INFINITY,
): (LineSeriesOption | ScatterSeriesOption)[] {
  return [
    ...lines.flatMap((line) => {
      const [stroke, ...band] = lineSeries(line, panelOf(line), least);
      // The tooltip shows what happened on a step, not a mean.
      return noise.length > 0 ? [{ ...stroke, tooltip: { show: false } }, ...band] : [stroke, ...band];
    }),
    ...noise.map((line) => {
      const [stroke] = lineSeries(line, panelOf(line), least);
      return { ...stroke, lineStyle: { width: 1, opacity: 0.3 }, z: 2 };
    }),
    ...dots.map((line) => dotSeries(line, panelOf(line))),
  ];
}

function dotSeries({ name, position, points }: Line, panel: number): ScatterSeriesOption {
  return {
    name,
    type: "scatter",
    xAxisIndex: panel,
    yAxisIndex: panel,
    color: variantColor(position),
    symbolSize: 4,
    itemStyle: { opacity: 0.8 },
    z: 4,
    data: points.map(({ step, value }) => [step, rounded(value)]),
  };
}

function stepsOf({ lines, noise, dots }: DrawnLines): number[] {
  return [...lines, ...noise, ...dots].flatMap(({ points }) => points.map(({ step }) => step));
}

function valuesOf({ lines, noise, dots }: DrawnLines): number[] {
  return [...lines, ...noise, ...dots].flatMap(({ points }) =>
    points.flatMap(({ value, halfWidth }) => [value, value + (halfWidth ?? 0)]),
  );
}

/** Whether the distance from 0 would take up most of an axis. */
function isFarFromZero(drawn: DrawnLines): boolean {
  const values = valuesOf(drawn);
  return min(values)! > max(values)! / 2;
}

/** The linear axis that all values of `drawn` fit on. */
function commonAxis(drawn: DrawnLines): YAXisComponentOption {
  const values = valuesOf(drawn);
  const lowest = isFarFromZero(drawn) ? min(values)! : Math.min(0, min(values)!);
  const highest = max(values)!;
  const [start, end] = nice(lowest, highest > lowest ? highest : lowest + 1, axisTicks);
  return { type: "value", min: start, max: end, interval: tickStep(start, end, axisTicks) };
}

/** Values of all points and bands that a logarithmic axis must reach. */
function rangesOf({ lines, noise, dots }: DrawnLines): number[] {
  return [...lines, ...noise, ...dots].flatMap(({ points }) => points.flatMap(shownRange));
}

/** Excludes the far end of a wide band, which may reach 0 and below. */
function shownRange({ value, halfWidth }: LinePoint): [number, number] {
  return [Math.max(value - (halfWidth ?? 0), value / 2), value + (halfWidth ?? 0)];
}

function figureOf({ series }: VariantData, column: string, figure: "mean" | "last" | null): string[] {
  if (figure === null) return [];
  const values = series.map(({ columns }) => columns[column].filter((value) => !Number.isNaN(value)));
  const shown = mean(figure === "mean" ? values.flat() : values.flatMap((ofSeed) => ofSeed.slice(-1)));
  return shown === undefined ? [] : [`${figure} ${inWords(shown)}`];
}

/** Whether the variant, with one seed, solved on some steps and not on others. */
function isMixed({ series }: VariantData): boolean {
  if (series.length !== 1) return false;
  const solved = series[0].columns.solver_iterations ?? [];
  return solved.some(Number.isNaN) && !solved.every(Number.isNaN);
}

function isSolved(columns: StepSeries["columns"], at: number): boolean {
  return !Number.isNaN(columns.solver_iterations[at]);
}

/** Returns `data` with other values of `column`. */
function changed(
  data: ReportData,
  column: string,
  valuesOf: (series: StepSeries, variant: VariantData) => readonly number[],
): ReportData {
  const variants = data.variants.map((variant) => ({
    ...variant,
    series: variant.series.map((series) => ({
      step: series.step,
      columns: { ...series.columns, [column]: valuesOf(series, variant) },
    })),
  }));
  return { ...data, variants };
}
