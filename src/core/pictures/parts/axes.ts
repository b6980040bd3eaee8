import { max, min, nice, range } from "d3-array";

/** What all axes share: muted labels, faint lines in the theme's colours, and a muted name. */
const shared = {
  nameTextStyle: { color: "@mutedText" },
  axisLabel: { color: "@mutedText", hideOverlap: true },
  axisLine: { show: true, onZero: false, lineStyle: { color: "@gridLine" } },
  axisTick: { show: true, lineStyle: { color: "@gridLine" } },
  splitLine: { lineStyle: { color: "@gridLine" } },
  minorTick: { lineStyle: { color: "@gridLine" } },
};

/** The name of a horizontal axis stands below its middle. */
export const horizontal = {
  ...shared,
  nameLocation: "middle",
  nameGap: 28,
  splitLine: { ...shared.splitLine, show: false },
} as const;

/** The name of a vertical axis is written above it, so that it takes no width. */
export const vertical = {
  ...shared,
  nameLocation: "end",
  nameGap: 12,
  nameTextStyle: { ...shared.nameTextStyle, align: "left" },
} as const;

/** Used instead if the space above a vertical axis is taken: its name stands upright beside its middle. */
export const verticalName = {
  nameLocation: "middle",
  nameGap: 40,
  nameTextStyle: { color: "@mutedText", align: "center" },
} as const;

/** An axis of layers, by their `ids`, at least one. */
export function layerAxis(ids: readonly number[]) {
  const axisPointer = { label: { precision: 0 } };
  return {
    ...horizontal,
    type: "value",
    name: "layer",
    minInterval: 1,
    min: min(ids)!,
    max: max(ids)!,
    axisPointer,
  } as const;
}

/** An axis of the steps, which ends with the first and the last of `steps`. */
export function stepAxis(steps: readonly number[]) {
  const [first, last] = [min(steps)!, max(steps)!];
  const axisPointer = { label: { precision: 0 } };
  const axis = { ...horizontal, type: "value", name: "step", minInterval: 1, axisPointer } as const;
  if (first < last) return { ...axis, min: first, max: last };
  // An axis needs a length even if there is only one step.
  const axisLabel = { ...axis.axisLabel, showMinLabel: false, showMaxLabel: false };
  return { ...axis, min: first - 0.5, max: last + 0.5, interval: 0.5, axisLabel };
}

export type AxisType = "log" | "value";

/** Lowest and highest of positive values this far apart are shown on a logarithmic axis. */
const logarithmicRatio = 30;

/** Returns the axis type for `values`: logarithmic if they are positive and too far apart for any other. */
export function axisTypeOf(values: readonly number[]): AxisType {
  const lowest = min(values) ?? 0;
  return lowest > 0 && max(values)! >= logarithmicRatio * lowest ? "log" : "value";
}

/** A linear or logarithmic axis; a logarithmic one has both ends. */
export interface MetricAxis {
  readonly type: AxisType;
  /** Whether a linear axis omits the distance from 0. */
  readonly scale?: boolean;
  readonly min?: number;
  readonly max?: number;
  /** Styles with the values to label, if ECharts should not choose them. */
  readonly axisLabel?: object;
  readonly axisTick?: object;
  readonly splitLine?: object;
}

/** Returns the name of an axis, which says so if it is logarithmic. */
export function metricAxisName(name: string, { type }: Pick<MetricAxis, "type">): string {
  return type === "log" ? `${name}, logarithmic` : name;
}

/**
 * Returns a linear or logarithmic axis for `values`, as {@link axisTypeOf} decides. A logarithmic axis has explicit
 * whole decades, because ECharts' own computation shows its rounding in the first label; a linear one omits the
 * distance from 0 if it would be most of the axis.
 */
export function metricAxis(values: readonly number[]): MetricAxis {
  if (axisTypeOf(values) === "value") return { type: "value", scale: min(values)! > max(values)! / 2 };
  return { type: "log", ...decadesAround(min(values)!, max(values)!) };
}

/** Lowest and highest of positive values this far apart have more room for the low ones on a logarithmic axis. */
const roomyRatio = 4;
/** Maximum number of labels; with more, an axis is divided into whole decades. */
const mostLabels = 13;

/**
 * Returns an axis for `values` that fall over the steps: logarithmic, from 1, 2 or 5 of a decade to another, if they
 * are positive and fall to a small fraction, since a linear axis leaves no room to tell the final values apart;
 * otherwise linear.
 */
export function fallingAxis(values: readonly number[]) {
  const [lowest, highest] = [min(values)!, max(values)!];
  if (!(lowest > 0 && highest >= roomyRatio * lowest)) return { type: "value" } as const;
  // One more decade on either side, since logarithms are rounded.
  const decades = range(Math.floor(Math.log10(lowest)) - 1, Math.ceil(Math.log10(highest)) + 2);
  const marks = decades.flatMap((decade) => [1, 2, 5].map((mark) => Number(`${mark}e${decade}`)));
  const [start, end] = [marks.findLastIndex((mark) => mark <= lowest), marks.findIndex((mark) => mark >= highest)];
  const customValues = marks.slice(start, end + 1);
  if (customValues.length > mostLabels) return { type: "log", ...decadesAround(lowest, highest) } as const;
  return {
    type: "log",
    min: marks[start],
    max: marks[end],
    axisLabel: { ...vertical.axisLabel, customValues },
    axisTick: { ...vertical.axisTick, customValues },
    splitLine: { ...vertical.splitLine, customValues },
  } as const;
}

/** Labels of a decade on an axis of multiples. */
const multiples = [1, 1.1, 1.25, 1.5, 2, 3, 4, 5, 7];

/** Returns a logarithmic axis for positive multiples of something, many of them near 1. */
export function multiplesAxis(values: readonly number[]): MetricAxis {
  const [lowest, highest] = [min(values)!, max(values)!];
  const decades = range(Math.floor(Math.log10(lowest)) - 1, Math.ceil(Math.log10(highest)) + 2);
  const marks = decades.flatMap((decade) => multiples.map((mark) => Number(`${mark}e${decade}`)));
  const start = marks.findLastIndex((mark) => mark <= lowest);
  const end = Math.max(
    start + 1,
    marks.findIndex((mark) => mark >= highest),
  );
  const labels = { customValues: marks.slice(start, end + 1) };
  return {
    type: "log",
    min: marks[start],
    max: marks[end],
    axisLabel: { ...horizontal.axisLabel, ...labels },
    axisTick: { ...horizontal.axisTick, ...labels },
    splitLine: { ...vertical.splitLine, ...labels },
  };
}

/** Approximate number of intervals into which ECharts divides a linear axis. */
const stretches = 5;

/**
 * Returns each value's place on the axis that was made for `values`: 0 at its start and 1 at its end.
 */
export function placesOnAxis(values: readonly number[], axis = metricAxis(values)): number[] {
  const nearest = nice(axis.scale ? min(values)! : Math.min(0, min(values)!), max(values)!, stretches);
  const { type, min: start = nearest[0], max: end = nearest[1] } = axis;
  if (type === "log") return values.map((value) => Math.log(value / start) / Math.log(end / start));
  return values.map((value) => (start === end ? 0 : (value - start) / (end - start)));
}

/** Returns the powers of ten at or below `lowest` and at or above `highest`, both positive. */
export function decadesAround(lowest: number, highest: number): { min: number; max: number } {
  const [first, last] = [Math.floor(Math.log10(lowest)), Math.ceil(Math.log10(highest))];
  return { min: Number(`1e${first}`), max: Number(`1e${Math.max(last, first + 1)}`) };
}
