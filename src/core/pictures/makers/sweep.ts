import { ascending, group, min } from "d3-array";
import type { EChartsOption, LegendComponentOption, LineSeriesOption, XAXisComponentOption } from "echarts";
import type { Interval } from "../../results/interval.ts";
import { metricOf, shortParameterNames } from "../../results/variants.ts";
import { type AxisType, axisTypeOf, horizontal, metricAxis, metricAxisName, vertical } from "../parts/axes.ts";
import { type ErrorBar, endsOf, errorBars } from "../parts/error-bars.ts";
import { namedMetric, rangeSentence } from "../parts/findings.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import type { ReportData } from "../parts/report-data.ts";
import { drawnName, rounded } from "../parts/text.ts";
import { variantColor, variantDash } from "../parts/theme.ts";
import { type Picture, pictureWidth } from "../picture.ts";

const plotHeight = 280;
const aboveHeight = 40;
const belowHeight = 56;
const leftMargin = 64;
const rightMargin = 40;
const labelGap = 8;
const yName = "MaxVio of a batch, mean";
/** Pixels between the points of lines with intervals at the same value, so that no bar hides another. */
const dodge = 5;
/** Maximum pixels between the first and the last of them, however many there are. */
const mostDodge = 24;
/** Pixels between the ends of a numeric axis and its first and last values. */
const endGap = 24;
/** More lines would hide each other; only the best are kept. */
const mostLines = 12;

/** MaxVio against one swept parameter, a line for each router and combination of the others. */
export interface SweepPanel {
  /** Name of the parameter without its path, if that is unambiguous. */
  readonly parameter: string;
  /** Values in their order along the axis. */
  readonly values: readonly (number | string)[];
  readonly isNumeric: boolean;
  readonly lines: readonly SweepLine[];
  readonly leftOut: number;
}

export interface SweepLine {
  readonly name: string;
  /** Variants that it joins, by their names in pictures. */
  readonly variants: readonly string[];
  readonly points: readonly { readonly value: number | string; readonly maxVio: Interval }[];
}

/** How balance depends on each swept parameter, one panel each. */
export function sweepPicture(data: ReportData, width = pictureWidth): Picture | null {
  const panels = data.results.parameters.flatMap((path) => sweepPanel(data, path) ?? []);
  if (panels.length === 0) return null;
  const leftOut = panels.some((panel) => panel.leftOut > 0);
  const hasSeeds = data.variants.some(({ members }) => members.length > 1);
  return {
    id: "sweep",
    title: "MaxVio against the swept parameters",
    reading: [
      "MaxVio of a batch, mean over the steps, against one parameter at a time. A line joins cells that differ only in that " +
        "parameter. Lower is better. Each panel has its own colours.",
      ...(hasSeeds
        ? [
            "Points are means over the seeds, bars their 95 % confidence intervals; those of the same value are side by side.",
          ]
        : []),
      ...(leftOut ? [`Each panel shows the ${mostLines} lines with the lowest values.`] : []),
    ].join(" "),
    finding: rangeSentence("MaxVio of a batch", namedMetric(data, "max_vio_batch_mean")),
    variantsOfLines: panels.flatMap(({ lines }) => lines.map(({ name, variants }) => [name, variants] as const)),
    ...layOut(panels, width),
  };
}

/** Returns the panel of the parameter at `path`; null if it has only one value. */
export function sweepPanel({ results, variants }: ReportData, path: string): SweepPanel | null {
  const written = Array.from(new Set(variants.map(({ parameters }) => parameters[path])));
  if (written.length < 2) return null;
  const isNumeric = written.every((value) => value.trim() !== "" && Number.isFinite(Number(value)));
  const placeOf = (text: string) => (isNumeric ? Number(text) : drawnName(text));
  const shortNames = shortParameterNames(results.parameters);
  const combinations = group(variants, ({ router, parameters }) =>
    [
      router,
      ...results.parameters.flatMap((other, i) => (other === path ? [] : [`${shortNames[i]}=${parameters[other]}`])),
    ].join(" "),
  );
  const lines = Array.from(combinations, ([name, members]): SweepLine => {
    const points = members.flatMap((variant) => {
      const maxVio = metricOf(results, variant, "max_vio_batch_mean");
      return maxVio === null ? [] : [{ value: placeOf(variant.parameters[path]), maxVio }];
    });
    return {
      name: drawnName(name),
      variants: members.map((variant) => drawnName(variant.name)),
      points: isNumeric ? points.sort((a, b) => ascending(a.value, b.value)) : points,
    };
  });
  const best = lines.toSorted((a, b) => ascending(lowestOf(a), lowestOf(b))).slice(0, mostLines);
  const values = written.map(placeOf);
  return {
    parameter: drawnName(shortNames[results.parameters.indexOf(path)]),
    values: isNumeric ? values.sort(ascending) : values,
    isNumeric,
    lines: lines.filter((line) => best.includes(line)),
    leftOut: lines.length - best.length,
  };
}

function lowestOf({ points }: SweepLine): number {
  return min(points, ({ maxVio }) => maxVio.mean) ?? Number.POSITIVE_INFINITY;
}

/** The panels below one another, each with the legend of its lines. */
function layOut(panels: readonly SweepPanel[], width: number): { option: EChartsOption; height: number } {
  const grids: object[] = [];
  const legends: LegendComponentOption[] = [];
  const xAxes: XAXisComponentOption[] = [];
  const series: LineSeriesOption[] = [];
  const means = panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(({ maxVio }) => maxVio.mean)));
  const yType = axisTypeOf(means);
  const plotWidth = width - leftMargin - rightMargin;
  let top = 0;
  for (const [index, panel] of panels.entries()) {
    const gridTop = top + aboveHeight;
    const { legend, height } = legendOf(strokes(panel.lines.map(({ name }) => name)), width);
    grids.push({ left: leftMargin, right: rightMargin, top: gridTop, height: plotHeight });
    legends.push({ ...legend, bottom: "auto", top: gridTop + plotHeight + belowHeight });
    const axes = { xAxisIndex: xAxes.length, yAxisIndex: index };
    series.push(...panelSeries(panel, yType, plotWidth).map((line) => ({ ...line, ...axes })));
    xAxes.push(...parameterAxes(panel, index, plotWidth));
    top = gridTop + plotHeight + belowHeight + height;
  }
  return {
    height: top,
    option: {
      legend: legends,
      grid: grids,
      xAxis: xAxes,
      yAxis: panels.map((_, gridIndex) => ({
        ...vertical,
        ...metricAxis(means),
        name: metricAxisName(yName, { type: yType }),
        gridIndex,
      })),
      tooltip: { trigger: "item" },
      series,
    },
  };
}

/** Axis of a panel. Words are shown by a second axis, because points are placed beside their values. */
function parameterAxes(panel: SweepPanel, gridIndex: number, plotWidth: number): XAXisComponentOption[] {
  const { values, isNumeric, parameter } = panel;
  const shared = { ...horizontal, name: parameter, gridIndex };
  if (isNumeric) {
    const customValues = values.map(Number);
    const xType = axisTypeOf(customValues);
    const beyond = endGap / plotWidth;
    return [
      {
        ...shared,
        type: xType,
        name: metricAxisName(parameter, { type: xType }),
        min: placeOf(panel, values[0], -beyond, plotWidth),
        max: placeOf(panel, values[values.length - 1], beyond, plotWidth),
        axisLabel: { ...horizontal.axisLabel, customValues },
        axisTick: { ...horizontal.axisTick, customValues },
      },
    ];
  }
  const width = plotWidth / values.length - labelGap;
  const axisLabel = { ...horizontal.axisLabel, interval: 0, width, overflow: "truncate" } as const;
  return [
    { type: "value", gridIndex, show: false, min: -0.5, max: values.length - 0.5 },
    { ...shared, type: "category", position: "bottom", data: values.map(String), axisLabel },
  ];
}

/** Returns the place of a value on its panel's axis, moved right by a fraction of that axis. */
function placeOf({ values, isNumeric }: SweepPanel, value: number | string, share: number, plotWidth: number): number {
  if (!isNumeric) return values.indexOf(value) + share * values.length;
  const numbers = values.map(Number);
  const [first, last] = [numbers[0], numbers[numbers.length - 1]];
  // Without the gaps at both ends.
  const ofValues = share / (1 - (2 * endGap) / plotWidth);
  return axisTypeOf(numbers) === "log"
    ? Number(value) * (last / first) ** ofValues
    : Number(value) + ofValues * (last - first);
}

/** Returns the series of all lines of a panel; those with intervals are side by side in order. */
export function panelSeries(
  panel: SweepPanel,
  yType: AxisType,
  plotWidth = pictureWidth - leftMargin - rightMargin,
): LineSeriesOption[] {
  const withBars = panel.lines.filter(({ points }) => points.some(({ maxVio }) => endsOf(maxVio, yType) !== null));
  const apart = Math.min(dodge, mostDodge / Math.max(1, withBars.length - 1)) / plotWidth;
  return panel.lines.flatMap((line, position) => {
    const beside = withBars.includes(line) ? withBars.indexOf(line) - (withBars.length - 1) / 2 : 0;
    const points = line.points.map((point) => ({
      ...point,
      x: rounded(placeOf(panel, point.value, beside * apart, plotWidth)),
    }));
    const bars = points.flatMap(({ x, maxVio }): ErrorBar[] => {
      const ends = endsOf(maxVio, yType);
      return ends === null
        ? []
        : [
            [
              [x, ends[0]],
              [x, ends[1]],
            ],
          ];
    });
    const drawn: LineSeriesOption = {
      name: line.name,
      type: "line",
      // The tooltip shows the value itself, not the shifted place.
      dimensions: ["place", yName, { name: panel.parameter, type: "ordinal" }],
      encode: { x: 0, y: 1, tooltip: [2, 1] },
      color: variantColor(position),
      symbol: "circle",
      symbolSize: 7,
      lineStyle: { type: variantDash(position), width: 1.5 },
      data: points.map(({ x, value, maxVio }) => [x, rounded(maxVio.mean), String(value)]),
    };
    return [drawn, ...errorBars(line.name, variantColor(position), bars)];
  });
}
