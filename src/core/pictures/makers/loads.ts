import { max, mean, quantile } from "d3-array";
import type { EChartsOption, HeatmapSeriesOption } from "echarts";
import { horizontal, vertical, verticalName } from "../parts/axes.ts";
import { rangeSentence } from "../parts/findings.ts";
import { firstSeedNotes, leftOutNotes, subjectShown } from "../parts/notes.ts";
import { type PanelLayout, placePanels } from "../parts/panels.ts";
import type { ReportData } from "../parts/report-data.ts";
import { drawnName, textWidth } from "../parts/text.ts";
import { themes } from "../parts/theme.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { type LoadPanel, loadPanel } from "./load-panel.ts";

const leastPanelHeight = 128;
const labelSize = 10;
const labelledRows = 8;
/** Between the labels of columns, in pixels. */
const labelGap = 16;
const margins = { left: 58, right: 26, below: 44, foot: 48 } as const;
/** A panel, with its margins, that is no narrower than this can be read. */
const leastPanelWidth = 280;
const titleSize = 12;
const titleLine = 14;
const titleGap = 8;
/** A longer name ends in an ellipsis. */
const mostTitleLines = 3;
/** The colour scale ends at this share of the cells, and not below twice the mean load. */
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
      "Each panel is a router, each row an expert, from 0 at the bottom, and each column a step: the load in percent of " +
        "the mean over the experts, on one colour scale. Even colour is balance, a cell of the contrasting colour an " +
        "expert without a token.",
      ...(binned > 1
        ? [
            `A column stands for up to ${binned} consecutive steps of loads.csv: loads are summed over them, and an expert ` +
              "that is idle on any of them is shown as idle.",
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
    panels: layout,
    option,
    height: placePanels({ option, panels: layout }, width).height,
  };
}

/** What the axis calls a row or a column: the steps or the experts that it stands for. */
function rangeText(first: number, last: number): string {
  return first === last ? String(first) : `${first}–${last}`;
}

/** Whole pixels a row, as many as make the panel high enough. */
function heightOf(rows: number): number {
  return rows * Math.ceil(leastPanelHeight / rows);
}

/** The option without the places of the panels, which are about `width` pixels wide. */
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
        // Loads above the scale; idle experts are not of this series.
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
        // The scale has the colours; without one of its own ECharts would look one up by the name, whatever that is.
        color: "@scale0",
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
