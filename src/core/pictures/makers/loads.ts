import { max, mean, quantile, range, sum } from "d3-array";
import type { EChartsOption, HeatmapSeriesOption } from "echarts";
import type { LoadSeries } from "../../results/results.ts";
import { horizontal, vertical, verticalName } from "../parts/axes.ts";
import { firstSeedNotes, leftOutNotes, rangeSentence, subjectShown } from "../parts/findings.ts";
import { type PanelLayout, placePanels } from "../parts/panels.ts";
import type { ReportData } from "../parts/report-data.ts";
import { drawnName, textWidth } from "../parts/text.ts";
import { themes } from "../parts/theme.ts";
import { type Picture, pictureWidth } from "../picture.ts";

const leastPanelHeight = 128;
const labelSize = 10;
const labelledRows = 8;
/** Pixels between the labels of columns. */
const labelGap = 16;
const margins = { left: 58, right: 26, below: 44, foot: 48 } as const;
/** Minimum readable width of a panel with its margins. */
const leastPanelWidth = 280;
const titleSize = 12;
const titleLine = 14;
const titleGap = 8;
/** A longer name ends in an ellipsis. */
const mostTitleLines = 3;
/** The colour scale ends at this quantile of the cells, but not below twice the mean load. */
const scaleQuantile = 0.98;
const leastTop = 200;
const scaleStep = 50;

/** Loads of the experts over the steps, a panel per variant, on one colour scale; idle experts stand out. */
export function loadsPicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = data.variants.flatMap(({ name, loads }) => (loads === null ? [] : [{ name: drawnName(name), loads }]));
  if (drawn.length === 0) return null;
  const most = drawn.length === 4 ? 2 : Math.min(3, drawn.length);
  const columns = Math.max(1, Math.min(most, Math.floor(width / leastPanelWidth)));
  const plotWidth = Math.floor(width / columns) - margins.left - margins.right;
  const panels = drawn.map(({ name, loads }) => ({ name, ...loadPanel(loads, drawn.length, plotWidth) }));
  const longest = max(panels, ({ name }) => textWidth(name, titleSize, true))!;
  // Lines break between words, before they are full.
  const titleLines = longest <= plotWidth ? 1 : Math.min(mostTitleLines, 1 + Math.ceil(longest / plotWidth));
  const grouped = max(panels, ({ groupSize }) => groupSize)!;
  const binned = max(panels, ({ binSize }) => binSize)!;
  const layout: PanelLayout = {
    ...margins,
    columns,
    leastWidth: leastPanelWidth,
    above: titleLines * titleLine + titleGap,
    plotHeight: max(panels, ({ firstExperts }) => heightOf(firstExperts.length))!,
    cells: panels.map(({ firstSteps, firstExperts }) => ({
      across: firstSteps.length,
      height: heightOf(firstExperts.length),
    })),
  };
  const percents = panels.flatMap(({ percent }) => percent);
  const top = Math.max(leastTop, Math.ceil(quantile(percents, scaleQuantile)! / scaleStep) * scaleStep);
  const option = heatmapOption(panels, plotWidth, top);
  return {
    id: "loads",
    title: "Loads of the experts",
    reading: [
      "One panel per router, one row per expert, from 0 at the bottom, and one column per step: the load in percent of " +
        "the mean over the experts, on one colour scale. Even colour means balance; a cell in the contrasting colour is " +
        "an expert without a token.",
      ...(binned > 1
        ? [
            `A column covers up to ${binned} consecutive steps of loads.csv: it shows the sum of their loads, or idle if the ` +
              "expert is idle on any of them.",
          ]
        : []),
      ...(grouped > 1
        ? [`A row covers up to ${grouped} neighbouring experts; it is idle if all of them are idle on the same step.`]
        : []),
      ...firstSeedNotes(data),
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      subjectShown("The share of idle experts, in percent, over the steps in loads.csv,", data, "first"),
      drawn.map(({ name, loads }) => ({ name, value: 100 * mean(loads.load, (load) => Number(load === 0))! })),
    ),
    panels: layout,
    option,
    height: placePanels({ option, panels: layout }, width).height,
  };
}

/** Axis name of a row or a column: the steps or the experts that it covers. */
function rangeText(first: number, last: number): string {
  return first === last ? String(first) : `${first}–${last}`;
}

/** Whole pixels per row, enough to make the panel high enough. */
function heightOf(rows: number): number {
  return rows * Math.ceil(leastPanelHeight / rows);
}

/** Returns the option without the places of the panels, which are about `width` pixels wide. */
function heatmapOption(panels: readonly (LoadPanel & { name: string })[], width: number, top: number): EChartsOption {
  const axisLine = { show: false };
  const axisTick = { show: false };
  const shared = { axisLine, axisTick, type: "category" } as const;
  const steps = panels.map(({ firstSteps, lastSteps }) =>
    firstSteps.map((first, column) => rangeText(first, lastSteps[column])),
  );
  return {
    title: panels.map(({ name }) => ({
      text: name,
      padding: 0,
      textStyle: { color: "@text", fontSize: titleSize, fontWeight: "bold", lineHeight: titleLine },
    })),
    xAxis: steps.map((data, gridIndex) => ({
      ...horizontal,
      ...shared,
      name: "step",
      nameGap: 22,
      gridIndex,
      data,
      axisLabel: {
        ...horizontal.axisLabel,
        fontSize: labelSize,
        interval: Math.ceil((data.length * (max(data, (text) => textWidth(text, labelSize))! + labelGap)) / width) - 1,
      },
    })),
    yAxis: panels.map(({ firstExperts, groupSize, experts }, gridIndex) => ({
      ...vertical,
      ...shared,
      ...verticalName,
      name: "expert",
      splitLine: { show: false },
      gridIndex,
      data: firstExperts.map((first) => rangeText(first, Math.min(first + groupSize, experts) - 1)),
      axisLabel: {
        ...vertical.axisLabel,
        fontSize: labelSize,
        interval: Math.ceil(firstExperts.length / labelledRows) - 1,
      },
    })),
    tooltip: { trigger: "item" },
    visualMap: [
      {
        type: "continuous",
        seriesIndex: panels.map((_, panel) => 2 * panel),
        dimension: 2,
        min: 0,
        max: top,
        orient: "horizontal",
        itemWidth: 14,
        itemHeight: 120,
        text: [`≥ ${top} % of the mean load`, "0 %"],
        textStyle: { color: "@mutedText" },
        inRange: { color: themes.light.scale.map((_, position) => `@scale${position}`) },
        // Idle experts are not in this series; loads above the scale are.
        outOfRange: { color: `@scale${themes.light.scale.length - 1}` },
      },
      {
        type: "piecewise",
        seriesIndex: panels.map((_, panel) => 2 * panel + 1),
        dimension: 2,
        pieces: [{ value: 0, label: "idle: no token", color: "@idle" }],
        orient: "horizontal",
        itemSymbol: "rect",
        textStyle: { color: "@mutedText" },
      },
    ],
    series: panels.flatMap(({ name, percent, firstExperts }, panel): HeatmapSeriesOption[] => {
      const rows = firstExperts.length;
      const cells = percent.map((value, position) => [Math.floor(position / rows), position % rows, value]);
      const place: HeatmapSeriesOption = {
        name,
        type: "heatmap",
        // The scale has the colours; without a name of its own ECharts would look one up by the series' name.
        color: "@scale0",
        xAxisIndex: panel,
        yAxisIndex: panel,
        dimensions: ["step", "expert", "load, % of the mean"],
        encode: { x: 0, y: 1, tooltip: [0, 1, 2] },
        // Drawn in one go: without a browser there is no second frame.
        progressive: 0,
        emphasis: { disabled: true },
      };
      return [
        { ...place, data: cells.filter(([, , value]) => value > 0) },
        { ...place, data: cells.filter(([, , value]) => value === 0) },
      ];
    }),
  };
}

/** Maximum cells of all panels together, to keep a page small. */
const mostCells = 40_000;
const leastColumns = 12;
/** More experts are drawn in groups of neighbours: a row is at least a pixel high. */
const mostRows = 256;
const leastCellWidth = 2;

/** A panel of the load heat map: one router's loads, as drawn. */
export interface LoadPanel {
  /** The first recorded step of each column, `[columns]`. */
  readonly firstSteps: readonly number[];
  /** The last recorded step of each column, `[columns]`. */
  readonly lastSteps: readonly number[];
  /** Consecutive recorded steps in a column; some have one fewer. */
  readonly binSize: number;
  /** The first expert of each group, `[rows]`. */
  readonly firstExperts: readonly number[];
  /** Neighbouring experts in a row; the last may have fewer. */
  readonly groupSize: number;
  readonly experts: number;
  /**
   * `[columns × rows]`: the load of the row's experts over the column's steps, in percent of the mean over all experts;
   * 0 if all of the row's experts are idle on any of these steps, so that no bin hides an idle step.
   */
  readonly percent: readonly number[];
}

/**
 * Returns what a panel `width` pixels wide shows of `loads`, beside `panels` − 1 others: columns of consecutive steps,
 * as equal in number as possible, and groups of experts if there are too many. Leaves out no step.
 */
export function loadPanel({ step, experts, load }: LoadSeries, panels: number, width: number): LoadPanel {
  const groupSize = Math.ceil(experts / mostRows);
  const firstExperts = range(0, experts, groupSize);
  const affordable = Math.max(leastColumns, Math.floor(mostCells / (panels * firstExperts.length)));
  const wanted = Math.min(step.length, affordable, Math.max(leastColumns, Math.floor(width / leastCellWidth)));
  // All, or as many as fill the panel with cells of whole pixels.
  const columns =
    wanted === step.length ? wanted : Math.max(leastColumns, Math.floor(width / Math.ceil(width / wanted)));
  const bounds = range(columns + 1).map((column) => Math.floor((column * step.length) / columns));
  const percent = range(columns).flatMap((column) => {
    const loadsOfSteps = range(bounds[column], bounds[column + 1]).map((position) =>
      load.slice(position * experts, (position + 1) * experts),
    );
    const average = sum(loadsOfSteps, (ofStep) => sum(ofStep)) / experts;
    return firstExperts.map((first) => {
      const ofGroup = loadsOfSteps.map((ofStep) => sum(ofStep.slice(first, first + groupSize)));
      if (ofGroup.includes(0)) return 0;
      const groupAverage = sum(ofGroup) / (Math.min(first + groupSize, experts) - first);
      // Rounding must not make a busy expert look idle.
      return Math.max(1, Math.round((100 * groupAverage) / average));
    });
  });
  return {
    firstSteps: bounds.slice(0, -1).map((position) => step[position]),
    lastSteps: bounds.slice(1).map((position) => step[position - 1]),
    binSize: Math.ceil(step.length / columns),
    firstExperts,
    groupSize,
    experts,
    percent,
  };
}
