import { ascending, group, min } from "d3-array";
import type { EChartsOption, LegendComponentOption, LineSeriesOption, XAXisComponentOption } from "echarts";
import type { Interval } from "../results/interval.ts";
import { metricOf, shortParameterNames } from "../results/variants.ts";
import { type AxisType, axisTypeOf, horizontal, metricAxis, vertical } from "./axes.ts";
import { type ErrorBar, endsOf, errorBars } from "./error-bars.ts";
import { namedMetric, rangeSentence } from "./findings.ts";
import { legendOf, strokes } from "./legend.ts";
import { type Picture, pictureWidth } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName, rounded } from "./text.ts";
import { variantColor, variantDash } from "./theme.ts";

const plotHeight = 280;
const aboveHeight = 40;
const belowHeight = 56;
const leftMargin = 64;
const rightMargin = 40;
const labelGap = 8;
/** More lines than this hide each other; the best of them stay. */
const mostLines = 12;

/** MaxVio against one swept parameter, a line for each router and combination of the others. */
export interface SweepPanel {
  /** The parameter's name without the path to it, where that is enough. */
  readonly parameter: string;
  /** In their order along the axis. */
  readonly values: readonly (number | string)[];
  readonly isNumeric: boolean;
  readonly lines: readonly SweepLine[];
  readonly leftOut: number;
}

export interface SweepLine {
  readonly name: string;
  readonly points: readonly { readonly value: number | string; readonly maxVio: Interval }[];
}

/** How balance answers to each swept parameter, a panel each. */
export function sweepPicture(data: ReportData): Picture | null {
  const panels = data.results.parameters.flatMap((path) => sweepPanel(data, path) ?? []);
  if (panels.length === 0) return null;
  const leftOut = panels.some((panel) => panel.leftOut > 0);
  const hasSeeds = data.variants.some(({ members }) => members.length > 1);
  return {
    id: "sweep",
    title: "MaxVio against the swept parameters",
    reading: [
      "MaxVio of a batch, mean over the steps, against one parameter at a time; a line joins the cells that differ in it " +
        "alone. Lower is better. Colours are the panel's own.",
      ...(hasSeeds ? ["Points are means over the seeds, bars their 95 % confidence intervals."] : []),
      ...(leftOut ? [`Each panel shows the ${mostLines} lines that get lowest.`] : []),
    ].join(" "),
    finding: rangeSentence("MaxVio of a batch", namedMetric(data, "max_vio_batch_mean")),
    ...layOut(panels),
  };
}

/** The panel of the parameter at `path`; null where it has one value only. */
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
    return { name: drawnName(name), points: isNumeric ? points.sort((a, b) => ascending(a.value, b.value)) : points };
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
function layOut(panels: readonly SweepPanel[]): { option: EChartsOption; height: number } {
  const grids: object[] = [];
  const legends: LegendComponentOption[] = [];
  const series: LineSeriesOption[] = [];
  const means = panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(({ maxVio }) => maxVio.mean)));
  const yType = axisTypeOf(means);
  let top = 0;
  for (const [index, { lines }] of panels.entries()) {
    const names = lines.map(({ name }) => name);
    const gridTop = top + aboveHeight;
    const { legend, height } = legendOf(strokes(names));
    grids.push({ left: leftMargin, right: rightMargin, top: gridTop, height: plotHeight });
    legends.push({ ...legend, bottom: "auto", top: gridTop + plotHeight + belowHeight });
    series.push(...lines.flatMap((line, position) => sweepSeries(line, position, index, yType)));
    top = gridTop + plotHeight + belowHeight + height;
  }
  return {
    height: top,
    option: {
      legend: legends,
      grid: grids,
      xAxis: panels.map(parameterAxis),
      yAxis: panels.map((_, gridIndex) => ({
        ...vertical,
        ...metricAxis(means),
        name: "MaxVio of a batch, mean",
        gridIndex,
      })),
      tooltip: { trigger: "item" },
      series,
    },
  };
}

function parameterAxis({ parameter, values, isNumeric }: SweepPanel, gridIndex: number): XAXisComponentOption {
  const shared = { ...horizontal, name: parameter, gridIndex };
  if (!isNumeric) {
    const width = (pictureWidth - leftMargin - rightMargin) / values.length - labelGap;
    const axisLabel = { ...horizontal.axisLabel, interval: 0, width, overflow: "truncate" } as const;
    return { ...shared, type: "category", data: values.map(String), axisLabel };
  }
  return { ...shared, ...metricAxis(values.map(Number)) };
}

function sweepSeries(
  { name, points }: SweepLine,
  position: number,
  panel: number,
  yType: AxisType,
): LineSeriesOption[] {
  const bars = points.flatMap(({ value, maxVio }): ErrorBar[] => {
    const ends = endsOf(maxVio, yType);
    if (ends === null) return [];
    const [from, to] = ends.map((end) => [value, end] as const);
    return [[from, to]];
  });
  return [
    {
      name,
      type: "line",
      xAxisIndex: panel,
      yAxisIndex: panel,
      color: variantColor(position),
      symbol: "circle",
      symbolSize: 7,
      lineStyle: { type: variantDash(position), width: 1.5 },
      data: points.map(({ value, maxVio }) => [value, rounded(maxVio.mean)]),
    },
    ...errorBars(name, variantColor(position), bars, panel),
  ];
}
