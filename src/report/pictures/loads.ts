import { max, mean, quantile } from "d3-array";
import type { EChartsOption, HeatmapSeriesOption } from "echarts";
import { horizontal, vertical } from "./axes.ts";
import { rangeSentence } from "./findings.ts";
import { type LoadPanel, loadPanel } from "./load-panel.ts";
import { firstSeedNotes, leftOutNotes, subjectShown } from "./notes.ts";
import { type Picture, pictureWidth } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { drawnName } from "./text.ts";
import { textWidth } from "./text-width.ts";
import { themes } from "./theme.ts";

const leastPanelHeight = 128;
const mostCellWidth = 24;
const labelledRows = 8;
const labelledWidth = 44;
/** Between panels, for the labels of the rows. */
const panelGap = 52;
const leftMargin = 40;
const titleSize = 12;
const titleLine = 14;
const titleGap = 8;
/** A longer name ends in an ellipsis. */
const mostTitleLines = 3;
const axisHeight = 24;
const scaleHeight = 56;
const idleKeyLeft = 600;
/** The colour scale ends at this share of the cells, and not below twice the mean load. */
const scaleQuantile = 0.98;
const leastTop = 200;
const scaleStep = 50;

/** Loads of the experts over the steps, a panel per variant, on one colour scale; idle experts stand out. */
export function loadsPicture(data: ReportData): Picture | null {
  const drawn = data.variants.flatMap(({ name, loads }) => (loads === null ? [] : [{ name: drawnName(name), loads }]));
  if (drawn.length === 0) return null;
  const columns = drawn.length === 4 ? 2 : Math.min(3, drawn.length);
  const width = Math.floor(pictureWidth / columns) - panelGap;
  const panels = drawn.map(({ name, loads }) => ({ name, ...loadPanel(loads, drawn.length, width) }));
  const longest = max(panels, ({ name }) => textWidth(name, titleSize, true))!;
  // Lines break between words, before they are full.
  const titleLines = longest <= width ? 1 : Math.min(mostTitleLines, 1 + Math.ceil(longest / width));
  const titleHeight = titleLines * titleLine + 2 * titleGap;
  const grouped = max(panels, ({ groupSize }) => groupSize)!;
  const binned = max(panels, ({ binSize }) => binSize)!;
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
      ...(binned > 1
        ? [
            `A column stands for up to ${binned} consecutive steps of loads.csv, from the one that its axis names: loads ` +
              "are summed over them, and an expert that is idle on any of them is shown as idle.",
          ]
        : []),
      ...(grouped > 1
        ? [`A row stands for up to ${grouped} neighbouring experts, idle where all of them are on the same step.`]
        : []),
      ...firstSeedNotes(data),
      ...leftOutNotes(data),
    ].join(" "),
    finding: rangeSentence(
      subjectShown("The share of idle experts, in percent of all on the steps that loads.csv holds,", data, "first"),
      drawn.map(({ name, loads }) => ({ name, value: 100 * mean(loads.load, (load) => Number(load === 0))! })),
    ),
    height: Math.ceil(panels.length / columns) * (titleHeight + panelHeight + axisHeight) + scaleHeight,
    option: heatmapOption(panels, columns, { panelHeight, titleHeight }, top),
  };
}

/** Whole pixels a row, as many as make the panel high enough. */
function heightOf(rows: number): number {
  return rows * Math.ceil(leastPanelHeight / rows);
}

function heatmapOption(
  panels: readonly (LoadPanel & { name: string })[],
  columns: number,
  { panelHeight, titleHeight }: { panelHeight: number; titleHeight: number },
  top: number,
): EChartsOption {
  const slot = Math.floor(pictureWidth / columns);
  const places = panels.map(({ firstSteps, firstExperts }, panel) => {
    // Whole pixels a cell: between fractions of one the background would shine through.
    const cell = Math.min(mostCellWidth, Math.max(1, Math.floor((slot - panelGap) / firstSteps.length)));
    return {
      left: (panel % columns) * slot + leftMargin,
      top: Math.floor(panel / columns) * (titleHeight + panelHeight + axisHeight) + titleHeight,
      width: cell * firstSteps.length,
      height: heightOf(firstExperts.length),
    };
  });
  const axisLine = { show: false };
  const axisTick = { show: false };
  return {
    title: panels.map(({ name }, panel) => ({
      text: name,
      left: places[panel].left,
      top: places[panel].top - titleHeight + titleGap,
      padding: 0,
      textStyle: {
        color: "@text",
        fontSize: titleSize,
        fontWeight: "bold",
        lineHeight: titleLine,
        width: slot - panelGap,
        height: titleHeight - 2 * titleGap,
        overflow: "break",
        lineOverflow: "truncate",
      },
    })),
    grid: places.map((place) => ({ ...place, outerBoundsMode: "none" })),
    xAxis: panels.map(({ firstSteps }, gridIndex) => ({
      ...horizontal,
      axisLine,
      axisTick,
      type: "category",
      gridIndex,
      data: firstSteps.map(String),
      axisLabel: {
        ...horizontal.axisLabel,
        fontSize: 10,
        interval: Math.ceil((firstSteps.length * labelledWidth) / places[gridIndex].width) - 1,
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
    tooltip: { trigger: "item" },
    visualMap: [
      {
        type: "continuous",
        seriesIndex: panels.map((_, panel) => 2 * panel),
        dimension: 2,
        min: 0,
        max: top,
        orient: "horizontal",
        left: leftMargin,
        bottom: 8,
        itemWidth: 14,
        itemHeight: 180,
        text: [`${top} % of the mean load, and more`, "0 %"],
        textStyle: { color: "@mutedText" },
        inRange: { color: themes.light.scale.map((_, position) => `@scale${position}`) },
        // Loads above the scale; idle experts are not of this series.
        outOfRange: { color: `@scale${themes.light.scale.length - 1}` },
      },
      {
        type: "piecewise",
        seriesIndex: panels.map((_, panel) => 2 * panel + 1),
        dimension: 2,
        pieces: [{ value: 0, label: "idle: no token", color: "@idle" }],
        orient: "horizontal",
        left: idleKeyLeft,
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
