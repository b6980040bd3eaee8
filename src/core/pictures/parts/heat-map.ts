import { max, quantile } from "d3-array";
import type { EChartsOption, HeatmapSeriesOption } from "echarts";
import { horizontal, vertical, verticalName } from "./axes.ts";
import { type PanelLayout, panelTitles, placePanels, titlesHeight } from "./panels.ts";
import { textWidth } from "./text.ts";
import { themes } from "./theme.ts";

const usualPanelHeight = 128;
const labelSize = 10;
const labelledRows = 8;
/** Pixels between the labels of columns. */
const labelGap = 16;
const margins = { left: 58, right: 26, below: 44, foot: 48 } as const;
/** Minimum readable width of a panel with its margins. */
const leastPanelWidth = 280;
const titleGap = 8;
/** The scale of loads ends at this quantile of the cells, but not below twice the mean load. */
const scaleQuantile = 0.98;
const leastTop = 200;
const scaleStep = 50;

/** A panel of a heat map. */
export interface HeatMapPanel {
  readonly title: string;
  /** Labels along the horizontal axis, and up the vertical one. */
  readonly columns: readonly string[];
  readonly rows: readonly string[];
  /** `[columns × rows]`; NaN leaves a cell empty. */
  readonly values: readonly number[];
}

/** What the panels of a heat map share. */
export interface HeatMapStyle {
  /** Names of the columns, the rows and the values. */
  readonly dimensions: readonly [column: string, row: string, value: string];
  /** The colour scale goes from `bottom` (default 0), which no cell is below, to `top`; its ends have these labels. */
  readonly bottom?: number;
  readonly top: number;
  readonly topLabel: string;
  readonly bottomLabel: string;
  /** Cells in the contrasting colour. */
  readonly marked: {
    readonly isMarked: (value: number) => boolean;
    /** The same for ECharts. */
    readonly range: { readonly value: number } | { readonly gt: number };
    readonly label: string;
  };
  /** Whether the first row is at the top. */
  readonly isDownward?: boolean;
  /** Maximum panels side by side; default 3, but 2 for four panels. */
  readonly most?: number;
  /** Minimum pixels of a panel's rows together; default 128. */
  readonly panelHeight?: number;
}

/** Returns the scale of cells that hold loads in percent of the mean load; idle experts, at 0, stand out. */
export function loadScale(
  percents: readonly number[],
): Pick<HeatMapStyle, "top" | "topLabel" | "bottomLabel" | "marked"> {
  const top = Math.max(leastTop, Math.ceil(quantile(percents, scaleQuantile)! / scaleStep) * scaleStep);
  return {
    top,
    topLabel: `≥ ${top} % of the mean load`,
    bottomLabel: "0 %",
    marked: { isMarked: (percent) => percent === 0, range: { value: 0 }, label: "idle: no token" },
  };
}

/** Returns the label of a row or a column that covers the steps or the experts `first` to `last`. */
export function rangeLabel(first: number, last: number): string {
  return first === last ? String(first) : `${first}–${last}`;
}

/** Returns the pixels that each of `panels` panels has for its cells across in a picture `width` pixels wide. */
export function cellsWidth(panels: number, width: number, most = panels === 4 ? 2 : 3): number {
  const columns = Math.max(1, Math.min(most, panels, Math.floor(width / leastPanelWidth)));
  return Math.floor(width / columns) - margins.left - margins.right;
}

/** Draws panels of cells `width` pixels wide on one colour scale. */
export function heatMap(
  panels: readonly HeatMapPanel[],
  width: number,
  style: HeatMapStyle,
): { option: EChartsOption; panels: PanelLayout; height: number } {
  const { most = panels.length === 4 ? 2 : 3, panelHeight = usualPanelHeight } = style;
  // Whole pixels per row, enough to make the panel high enough.
  const heightOf = (rows: number) => rows * Math.ceil(panelHeight / rows);
  const columns = Math.max(1, Math.min(most, panels.length, Math.floor(width / leastPanelWidth)));
  const plotWidth = cellsWidth(panels.length, width, most);
  const titles = panels.map(({ title }) => title);
  const layout: PanelLayout = {
    ...margins,
    columns,
    leastWidth: leastPanelWidth,
    above: titlesHeight(titles, plotWidth) + titleGap,
    plotHeight: max(panels, ({ rows }) => heightOf(rows.length))!,
    cells: panels.map(({ columns, rows }) => ({ across: columns.length, height: heightOf(rows.length) })),
  };
  const option = heatMapOption(panels, plotWidth, style);
  return { option, panels: layout, height: placePanels({ option, panels: layout }, width).height };
}

/** Returns the option without the places of the panels, which are about `width` pixels wide. */
function heatMapOption(panels: readonly HeatMapPanel[], width: number, style: HeatMapStyle): EChartsOption {
  const { dimensions, bottom = 0, top, topLabel, bottomLabel, marked, isDownward = false } = style;
  const [columnName, rowName] = dimensions;
  const axisLine = { show: false };
  const axisTick = { show: false };
  const shared = { axisLine, axisTick, type: "category" } as const;
  return {
    title: panelTitles(panels.map(({ title }) => title)),
    xAxis: panels.map(({ columns: data }, gridIndex) => ({
      ...horizontal,
      ...shared,
      name: columnName,
      nameGap: 22,
      gridIndex,
      data: [...data],
      axisLabel: {
        ...horizontal.axisLabel,
        fontSize: labelSize,
        interval: Math.ceil((data.length * (max(data, (text) => textWidth(text, labelSize))! + labelGap)) / width) - 1,
      },
    })),
    yAxis: panels.map(({ rows }, gridIndex) => ({
      ...vertical,
      ...shared,
      ...verticalName,
      name: rowName,
      splitLine: { show: false },
      gridIndex,
      data: [...rows],
      ...(isDownward && { inverse: true }),
      axisLabel: {
        ...vertical.axisLabel,
        fontSize: labelSize,
        interval: Math.ceil(rows.length / labelledRows) - 1,
      },
    })),
    tooltip: { trigger: "item" },
    visualMap: [
      {
        type: "continuous",
        seriesIndex: panels.map((_, panel) => 2 * panel),
        dimension: 2,
        min: bottom,
        max: top,
        orient: "horizontal",
        itemWidth: 14,
        itemHeight: 120,
        text: [topLabel, bottomLabel],
        textStyle: { color: "@mutedText" },
        inRange: { color: themes.light.scale.map((_, position) => `@scale${position}`) },
        // Marked cells are not in this series; values above the scale are.
        outOfRange: { color: `@scale${themes.light.scale.length - 1}` },
      },
      {
        type: "piecewise",
        seriesIndex: panels.map((_, panel) => 2 * panel + 1),
        dimension: 2,
        pieces: [{ ...marked.range, label: marked.label, color: "@idle" }],
        orient: "horizontal",
        itemSymbol: "rect",
        textStyle: { color: "@mutedText" },
      },
    ],
    series: panels.flatMap(({ title, values, rows: { length: rows } }, panel): HeatmapSeriesOption[] => {
      const cells = values
        .map((value, position) => [Math.floor(position / rows), position % rows, value])
        .filter(([, , value]) => !Number.isNaN(value));
      const place: HeatmapSeriesOption = {
        name: title,
        type: "heatmap",
        // The scale has the colours; without a name of its own ECharts would look one up by the series' name.
        color: "@scale0",
        xAxisIndex: panel,
        yAxisIndex: panel,
        dimensions: [...dimensions],
        encode: { x: 0, y: 1, tooltip: [0, 1, 2] },
        // Drawn in one go: without a browser there is no second frame.
        progressive: 0,
        emphasis: { disabled: true },
      };
      return [
        { ...place, data: cells.filter(([, , value]) => !marked.isMarked(value)) },
        { ...place, data: cells.filter(([, , value]) => marked.isMarked(value)) },
      ];
    }),
  };
}
