import { ascending, max, mean, range } from "d3-array";
import type { LineSeriesOption } from "echarts";
import { confidenceInterval } from "../../results/interval.ts";
import type { StepSeries } from "../../results/results.ts";
import { leftOutNotes } from "./findings.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName, rounded } from "./text.ts";
import { variantColor, variantDash } from "./theme.ts";

/** Maximum points of a line: more than two thirds of the pixels it is drawn on, since two pixels share an extreme. */
const mostPointsOfLine = 600;
/** Maximum points of a picture's lines and bands together, to keep a page of pictures small. */
const mostPoints = 12_000;
/** A line with its band counts as three. */
const pointsWithBand = 3;
/** More bands would hide each other and the lines. */
const mostBands = 6;

/** Columns in which each seed has values on its own steps. */
const measuredOnDrawnSteps: ReadonlySet<string> = new Set(["regret", "regret_cumulative", "optimum_gap"]);

/** One variant's line, a mean over its seeds. */
export interface Line {
  readonly name: string;
  readonly position: number;
  /** Steps that are drawn, rising. */
  readonly points: readonly LinePoint[];
}

export interface LinePoint {
  readonly step: number;
  readonly value: number;
  /** Half the width of the 95 % confidence interval over seeds; null if no band is drawn. */
  readonly halfWidth: number | null;
}

/** The lines of a picture over steps, and notes for its reader. */
export interface Lines {
  readonly lines: readonly Line[];
  /** Sentences for the picture's `reading`. */
  readonly notes: readonly string[];
}

/**
 * Returns a line of `column` for each featured variant that has values of it; steps without one are left out and
 * bridged.
 *
 * @param panels how often the picture draws each line
 */
export function linesOf(data: ReportData, column: string, panels = 1): Lines {
  const drawn = data.variants
    .map((variant) => ({ variant, values: valuesByStep(variant.series, column) }))
    .filter(({ values }) => values.length > 0)
    // Lists the best first if there are many variants, in the order of their colours.
    .sort((a, b) => ascending(a.variant.position, b.variant.position));
  const hasSeeds = drawn.some(({ values }) => values.some(({ all }) => all.length > 1));
  const hasBands = hasSeeds && drawn.length <= mostBands;
  const budget = Math.floor(mostPoints / (drawn.length * panels * (hasBands ? pointsWithBand : 1)));
  const most = Math.max(4, Math.min(mostPointsOfLine, budget));
  const lines = drawn.map(({ variant: { name, position }, values }) => {
    const means = values.map(({ all }) => mean(all)!);
    const points = thinnedPositions(means, most).map((at) => {
      const { step, all } = values[at];
      return { step, value: means[at], halfWidth: hasBands ? confidenceInterval(all)!.halfWidth : null };
    });
    return { name: drawnName(name), position, points };
  });
  const notes = [
    ...(hasBands ? ["Lines are means over the seeds, bands their 95 % confidence intervals."] : []),
    ...(hasSeeds && !hasBands ? ["Lines are means over the seeds."] : []),
    ...(drawn.some(({ values }) => values.length > most)
      ? [`Lines are thinned to ${most} points in a way that keeps peaks and dips.`]
      : []),
    ...leftOutNotes(data),
  ];
  return { lines, notes };
}

/**
 * Returns every step on which any seed has a value of `column`, rising, with the values of all seeds that have one.
 * Each seed draws its own steps for regret, so the n-th measured steps of all seeds are combined, at their mean.
 */
function valuesByStep(series: readonly StepSeries[], column: string): { step: number; all: number[] }[] {
  if (measuredOnDrawnSteps.has(column)) return valuesByRank(series, column);
  const values = new Map<number, number[]>();
  for (const { step, columns } of series) {
    for (const [position, value] of columns[column].entries()) {
      if (Number.isNaN(value)) continue;
      const all = values.get(step[position]);
      if (all === undefined) values.set(step[position], [value]);
      else all.push(value);
    }
  }
  return Array.from(values, ([step, all]) => ({ step, all })).sort((a, b) => ascending(a.step, b.step));
}

function valuesByRank(series: readonly StepSeries[], column: string): { step: number; all: number[] }[] {
  const ranked = series.map(({ step, columns }) =>
    columns[column].flatMap((value, position) => (Number.isNaN(value) ? [] : [{ step: step[position], value }])),
  );
  return range(max(ranked, ({ length }) => length) ?? 0).map((rank) => {
    const points = ranked.flatMap((ofSeed) => ofSeed[rank] ?? []);
    return { step: Math.round(mean(points, ({ step }) => step)!), all: points.map(({ value }) => value) };
  });
}

/**
 * Returns the series that draw `line` and its band on the axes of `panel`. They share the line's name, so its legend
 * entry hides all of them, in every panel. The band ends at `least`, below which no value can be.
 */
export function lineSeries({ name, position, points }: Line, panel: number, least: number): LineSeriesOption[] {
  const place = { name, type: "line", xAxisIndex: panel, yAxisIndex: panel, color: variantColor(position) } as const;
  const line: LineSeriesOption = {
    ...place,
    symbol: points.length === 1 ? "circle" : "none",
    symbolSize: 8,
    lineStyle: { type: variantDash(position), width: 1.5 },
    z: 3,
    data: points.map(({ step, value }) => [step, rounded(value)]),
  };
  if (points.every(({ halfWidth }) => halfWidth === null)) return [line];
  const edge = {
    ...place,
    symbol: "none",
    silent: true,
    tooltip: { show: false },
    lineStyle: { opacity: 0 },
    stack: `band of ${panel} ${position}`,
    stackStrategy: "all",
  } as const;
  const bounds = points.map(({ step, value, halfWidth }) => {
    const low = Math.max(least, value - (halfWidth ?? 0));
    return { step, low: rounded(low), width: rounded(value + (halfWidth ?? 0) - low) };
  });
  // The legend takes its stroke from the first series of a name.
  return [
    line,
    { ...edge, data: bounds.map(({ step, low }) => [step, low]) },
    { ...edge, areaStyle: { opacity: 0.18 }, data: bounds.map(({ step, width }) => [step, width]) },
  ];
}

/**
 * Returns the mean of `values` around each position, from `radius` before it to `radius` after it. A value with fewer
 * values before it is averaged with equally few after it, so that a steep start is not flattened; at the end, the mean
 * is over the values that exist. NaN is ignored, and is the mean only if there is nothing else.
 */
export function runningMean(values: readonly number[], radius: number): number[] {
  const sums = new Float64Array(values.length + 1);
  const counts = new Int32Array(values.length + 1);
  for (const [position, value] of values.entries()) {
    const isThere = !Number.isNaN(value);
    sums[position + 1] = sums[position] + (isThere ? value : 0);
    counts[position + 1] = counts[position] + (isThere ? 1 : 0);
  }
  return values.map((_, position) => {
    const reach = Math.min(radius, position);
    const [start, end] = [position - reach, Math.min(position + reach + 1, values.length)];
    return (sums[end] - sums[start]) / (counts[end] - counts[start]);
  });
}

/**
 * Returns the positions of at most `most` (at least 4) of `values`, rising, that keep the look of the line through
 * them: the first, the last, and the lowest and highest of each of equally long stretches between, so no peak or dip is
 * lost. All positions if there are no more than `most`. Values must not be NaN.
 */
export function thinnedPositions(values: readonly number[], most: number): number[] {
  if (values.length <= most) return Array.from(values.keys());
  const last = values.length - 1;
  const stretches = Math.floor((most - 2) / 2);
  const kept = [0];
  for (let stretch = 0; stretch < stretches; stretch++) {
    const start = 1 + Math.floor((stretch * (last - 1)) / stretches);
    const end = 1 + Math.floor(((stretch + 1) * (last - 1)) / stretches);
    let lowest = start;
    let highest = start;
    for (let position = start; position < end; position++) {
      if (values[position] < values[lowest]) lowest = position;
      if (values[position] > values[highest]) highest = position;
    }
    kept.push(Math.min(lowest, highest));
    if (lowest !== highest) kept.push(Math.max(lowest, highest));
  }
  kept.push(last);
  return kept;
}
