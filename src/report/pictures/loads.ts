import { max, mean, quantile, range } from "d3-array";
import type { EChartsOption, HeatmapSeriesOption } from "echarts";
import type { LoadSeries } from "../results/step-series.ts";
import { horizontal, tooltipStyle, vertical } from "./axes.ts";
import { rangeSentence } from "./findings.ts";
import { firstSeedNotes, leftOutNotes } from "./notes.ts";
import { type Picture, pictureWidth } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName } from "./text.ts";

/** The most cells of all panels together, so that a page stays small. */
const mostCells = 40_000;
const leastSteps = 12;
/** More experts than this are drawn in groups of neighbours: a row is at least a pixel high. */
const mostRows = 256;
const leastPanelHeight = 128;
const leastCellWidth = 2;
const mostCellWidth = 24;
const labelledRows = 8;
const labelledWidth = 44;
const panelGap = 52;
const titleHeight = 26;
const axisHeight = 24;
const scaleHeight = 56;
/** The colour scale ends at this share of the cells, and not below twice the mean load. */
const scaleQuantile = 0.98;
const leastTop = 200;
const scaleStep = 50;

/** A panel of the heatmap: one router's loads, as far as they are drawn. */
export interface LoadPanel {
  /** The steps drawn, `[columns]`. */
  readonly steps: readonly number[];
  /** The first expert of each group, `[rows]`. */
  readonly firstExperts: readonly number[];
  /** Neighbouring experts in a row; the last may have fewer. */
  readonly groupSize: number;
  /** `[columns × rows]`: the mean load of the row's experts in percent of the mean of all experts on that step. */
  readonly percent: readonly number[];
}

/** Loads of the experts over the steps, a panel per variant, on one colour scale; idle experts stand out. */
export function loadsPicture(data: ReportData): Picture | null {
  const drawn = data.variants.flatMap(({ name, loads }) => (loads === null ? [] : [{ name: drawnName(name), loads }]));
  if (drawn.length === 0) return null;
  const columns = drawn.length === 4 ? 2 : Math.min(3, drawn.length);
  const width = Math.floor(pictureWidth / columns) - panelGap;
  const panels = drawn.map(({ name, loads }) => ({ name, ...loadPanel(loads, drawn.length, width) }));
  const grouped = max(panels, ({ groupSize }) => groupSize)!;
  const panelHeight = max(panels, ({ firstExperts }) => heightOf(firstExperts.length))!;
  const percents = panels.flatMap(({ percent }) => percent);
  const top = Math.max(leastTop, Math.ceil(quantile(percents, scaleQuantile)! / scaleStep) * scaleStep);
  return {
    id: "loads",
    title: "Loads of the experts",
    reading: [
      "Each panel is a router, each row an expert, from 0 at the bottom, and each column a step: the load in percent of " +
        "the mean over the experts, on one colour scale. Even colour is balance, a cell of the contrasting colour an " +
        "expert without a token.",
      ...(grouped > 1 ? [`A row stands for up to ${grouped} neighbouring experts, idle when all of them are.`] : []),
      ...firstSeedNotes(data),
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      "The share of idle cells, in percent,",
      panels.map(({ name, percent }) => ({ name, value: 100 * mean(percent, (value) => Number(value === 0))! })),
    ),
    height: Math.ceil(panels.length / columns) * (titleHeight + panelHeight + axisHeight) + scaleHeight,
    option: heatmapOption(panels, columns, panelHeight, top),
  };
}

/**
 * Takes from `loads` what a panel `width` pixels wide shows beside `panels` − 1 others: evenly spaced steps, and groups of
 * experts where there are too many.
 */
export function loadPanel({ step, experts, load }: LoadSeries, panels: number, width: number): LoadPanel {
  const groupSize = Math.ceil(experts / mostRows);
  const firstExperts = range(0, experts, groupSize);
  const affordable = Math.max(leastSteps, Math.floor(mostCells / (panels * firstExperts.length)));
  const wanted = Math.min(step.length, affordable, Math.max(leastSteps, Math.floor(width / leastCellWidth)));
  // All, or as many as fill the panel with cells of whole pixels.
  const columns = wanted === step.length ? wanted : Math.floor(width / Math.ceil(width / wanted));
  const positions = range(columns).map((i) =>
    columns === 1 ? 0 : Math.round((i * (step.length - 1)) / (columns - 1)),
  );
  const percent = positions.flatMap((position) => {
    const ofStep = load.slice(position * experts, (position + 1) * experts);
    const average = mean(ofStep)!;
    return firstExperts.map((first) => {
      const ofGroup = mean(ofStep.slice(first, first + groupSize))!;
      // Rounding must not make an expert idle that is not.
      return ofGroup === 0 ? 0 : Math.max(1, Math.round((100 * ofGroup) / average));
    });
  });
  return { steps: positions.map((position) => step[position]), firstExperts, groupSize, percent };
}

/** Whole pixels a row, as many as make the panel high enough. */
function heightOf(rows: number): number {
  return rows * Math.ceil(leastPanelHeight / rows);
}

function heatmapOption(
  panels: readonly (LoadPanel & { name: string })[],
  columns: number,
  panelHeight: number,
  top: number,
): EChartsOption {
  const slot = Math.floor(pictureWidth / columns);
  const places = panels.map(({ steps, firstExperts }, panel) => {
    // Whole pixels a cell: between fractions of one the background would shine through.
    const cell = Math.min(mostCellWidth, Math.max(1, Math.floor((slot - panelGap) / steps.length)));
    return {
      left: (panel % columns) * slot + panelGap - 12,
      top: Math.floor(panel / columns) * (titleHeight + panelHeight + axisHeight) + titleHeight,
      width: cell * steps.length,
      height: heightOf(firstExperts.length),
    };
  });
  const axisLine = { show: false };
  const axisTick = { show: false };
  return {
    title: panels.map(({ name }, panel) => ({
      text: name,
      left: places[panel].left,
      top: places[panel].top - titleHeight + 8,
      padding: 0,
      textStyle: { color: "@text", fontSize: 12, fontWeight: "bold", width: slot - panelGap, overflow: "truncate" },
    })),
    grid: places.map((place) => ({ ...place, outerBoundsMode: "none" })),
    xAxis: panels.map(({ steps }, gridIndex) => ({
      ...horizontal,
      axisLine,
      axisTick,
      type: "category",
      gridIndex,
      data: steps.map(String),
      axisLabel: {
        ...horizontal.axisLabel,
        fontSize: 10,
        interval: Math.ceil((steps.length * labelledWidth) / places[gridIndex].width) - 1,
      },
    })),
    yAxis: panels.map(({ firstExperts }, gridIndex) => ({
      ...vertical,
      axisLine,
      axisTick,
      splitLine: { show: false },
      type: "category",
      gridIndex,
      data: firstExperts.map(String),
      axisLabel: { ...vertical.axisLabel, fontSize: 10, interval: Math.ceil(firstExperts.length / labelledRows) - 1 },
    })),
    tooltip: { trigger: "item", ...tooltipStyle },
    visualMap: [
      {
        type: "continuous",
        seriesIndex: panels.map((_, panel) => 2 * panel),
        dimension: 2,
        min: 0,
        max: top,
        orient: "horizontal",
        left: panelGap - 12,
        bottom: 8,
        itemWidth: 14,
        itemHeight: 180,
        text: [`${top} % of the mean load, and more`, "0 %"],
        textStyle: { color: "@mutedText" },
        inRange: { color: range(5).map((position) => `@scale${position}`) },
        outOfRange: { color: "@scale4" },
      },
      {
        type: "piecewise",
        seriesIndex: panels.map((_, panel) => 2 * panel + 1),
        dimension: 2,
        pieces: [{ value: 0, label: "idle: no token", color: "@idle" }],
        orient: "horizontal",
        left: 600,
        bottom: 8,
        itemSymbol: "rect",
        textStyle: { color: "@mutedText" },
      },
    ],
    series: panels.flatMap(({ percent, firstExperts }, panel): HeatmapSeriesOption[] => {
      const rows = firstExperts.length;
      const cells = percent.map((value, position) => [Math.floor(position / rows), position % rows, value]);
      const place: HeatmapSeriesOption = {
        type: "heatmap",
        xAxisIndex: panel,
        yAxisIndex: panel,
        dimensions: ["step", "expert", "load, % of the mean"],
        encode: { x: 0, y: 1, tooltip: [0, 1, 2] },
        // Drawn in one go: there is no second frame without a browser.
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
