import type {
  EChartsOption,
  LineSeriesOption,
  ScatterSeriesOption,
  SeriesOption,
  TitleComponentOption,
  YAXisComponentOption,
} from "echarts";
import { withoutLegends } from "../../core/pictures/parts/legend.ts";
import { drawnName } from "../../core/pictures/parts/text.ts";
import { chartOption, type Theme } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";
import { type Chosen, routersOfLine, stateOf } from "./highlight.ts";
import { heatMapTooltip, stepTooltip } from "./tooltips.ts";

export const pageFont = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';

/** Remaining opacity of what belongs to routers that are not chosen. */
const dimmed = 0.15;
/** Extra width in pixels of a chosen router's line. */
const widening = 1.2;
/** Pixels between a label and the edge of a chart. */
const edge = 4;
/** Distance of a label above or below the middle of its point, in pixels. */
const labelRise = 8;
/** Number of layers by which chosen items are above the rest. */
const raising = 10;

/**
 * Returns the picture's option for a chart `width` pixels wide in a page, and its height in pixels: in the page's font,
 * with tooltips, with `chosen` routers emphasised, and without its legend, which the page lists itself. If the chart is
 * narrower than it was laid out for, overlapping labels are left out.
 *
 * @param known the names of all routers
 */
export function pageOption(
  picture: Picture,
  theme: Theme,
  width: number,
  chosen: Chosen,
  known: ReadonlySet<string>,
): { option: EChartsOption; height: number } {
  const { option, height } = chartOption(withoutLegends(picture), theme, width);
  const formatter = heatMapTooltip(option) ?? stepTooltip(option);
  const rows = rowsOf(picture, known);
  const narrow = (series: SeriesOption): SeriesOption =>
    series.type === "scatter" && width < pictureWidth ? withoutOverlap(series, width) : series;
  const emphasized = (series: SeriesOption): SeriesOption =>
    rows === null
      ? emphasizedLine(series, routersOfSeries(picture, series, known), chosen, theme)
      : emphasizedRows(series, rows, chosen);
  return {
    height,
    option: {
      ...option,
      textStyle: { ...option.textStyle, fontFamily: pageFont },
      ...(formatter !== null && { tooltip: { ...option.tooltip, formatter } }),
      ...(option.title !== undefined && {
        title: asArray<TitleComponentOption>(option.title).map((title, panel) => {
          const { isDimmed } = stateOf(routersOfPanel(picture, panel, known), chosen);
          return {
            ...title,
            triggerEvent: true,
            textStyle: { ...title.textStyle, ...(isDimmed && { color: faded(theme.mutedText) }) },
          };
        }),
      }),
      ...(rows !== null && {
        yAxis: asArray(option.yAxis).map((axis) => ({
          ...axis,
          triggerEvent: true,
          axisLabel: {
            ...axis.axisLabel,
            color: (name: string) => (stateOf([name], chosen).isDimmed ? faded(theme.mutedText) : theme.text),
          },
        })) as YAXisComponentOption[],
      }),
      series: asArray<SeriesOption>(option.series).map((series) => emphasized(narrow(series))),
    },
  };
}

/** The clicked part of a chart, as ECharts reports it. */
export interface ClickedPart {
  readonly componentType: string;
  readonly componentIndex: number;
  readonly seriesName?: string;
  readonly seriesType?: string;
  /** For a point. */
  readonly name: string;
  readonly dataIndex?: number;
  /** For a point, or the label of an axis. */
  readonly value?: unknown;
}

/** Returns the routers that the part of `picture` belongs to; may be none. */
export function routersAt(picture: Picture, part: ClickedPart, known: ReadonlySet<string>): readonly string[] {
  if (part.componentType === "title") return routersOfPanel(picture, part.componentIndex, known);
  const rows = rowsOf(picture, known);
  if (rows !== null) {
    if (part.componentType === "yAxis") return [drawnName(String(part.value))];
    const row = part.seriesType === "bar" ? part.dataIndex : (part.value as number[] | undefined)?.[1];
    return row === undefined ? [] : [rows[row]];
  }
  const ofLine = routersOfLine(picture, part.seriesName ?? "", known);
  return ofLine.length > 0 ? ofLine : routersOfLine(picture, part.name, known);
}

/** Returns the routers with one row each in a picture; null if it is drawn in another way. */
function rowsOf({ option }: Picture, known: ReadonlySet<string>): readonly string[] | null {
  const [axis] = asArray(option.yAxis);
  if (axis?.type !== "category" || asArray<SeriesOption>(option.series)[0]?.type === "heatmap") return null;
  const names = axis.data as string[];
  return names.every((name) => known.has(name)) ? names : null;
}

function routersOfSeries(picture: Picture, { name }: SeriesOption, known: ReadonlySet<string>): readonly string[] {
  return routersOfLine(picture, String(name ?? ""), known);
}

/** Returns the router that has a plot of its own. */
function routersOfPanel(picture: Picture, panel: number, known: ReadonlySet<string>): readonly string[] {
  const first = asArray<SeriesOption>(picture.option.series).find(
    (series) => Number((series as LineSeriesOption).xAxisIndex ?? 0) === panel,
  );
  return first === undefined ? [] : routersOfSeries(picture, first, known);
}

/** Returns a series of `routers`, stronger if they are chosen and faint if others are. */
function emphasizedLine(given: SeriesOption, routers: readonly string[], chosen: Chosen, theme: Theme): SeriesOption {
  const series = given.type === "line" ? ({ ...given, triggerEvent: "line" } as LineSeriesOption) : given;
  if (chosen === null) return series;
  if (routers.length === 0) return series.type === "scatter" ? emphasizedPoints(series, chosen, theme) : series;
  const { lineStyle, itemStyle, areaStyle, label, labelLine, z } = series as LineSeriesOption & ScatterSeriesOption;
  if (!stateOf(routers, chosen).isDimmed) {
    const width = lineStyle?.width;
    return {
      ...series,
      ...(series.type !== "heatmap" && { z: (z ?? 2) + raising }),
      ...(width !== undefined && { lineStyle: { ...lineStyle, width: width + widening } }),
    } as SeriesOption;
  }
  return {
    ...series,
    lineStyle: { ...lineStyle, opacity: dimmed * Number(lineStyle?.opacity ?? 1) },
    itemStyle: { ...itemStyle, opacity: dimmed },
    ...(areaStyle && { areaStyle: { ...areaStyle, opacity: dimmed * Number(areaStyle.opacity ?? 1) } }),
    ...(label && { label: { ...label, opacity: 3 * dimmed } }),
    ...(labelLine && { labelLine: { ...labelLine, lineStyle: { ...labelLine.lineStyle, opacity: dimmed } } }),
  } as SeriesOption;
}

/** Returns points of many routers in one series, the chosen ones larger and in the text colour. */
function emphasizedPoints(series: ScatterSeriesOption, chosen: ReadonlySet<string>, theme: Theme): ScatterSeriesOption {
  const data = series.data as { name: string; value: number[] }[];
  return {
    ...series,
    data: data.map((point) =>
      chosen.has(point.name)
        ? { ...point, symbolSize: 11, itemStyle: { color: theme.text, opacity: 1 } }
        : { ...point, itemStyle: { opacity: 2 * dimmed } },
    ),
  };
}

/** Returns a series with a mark in each router's row: chosen ones unchanged, the others faint. */
function emphasizedRows(series: SeriesOption, rows: readonly string[], chosen: Chosen): SeriesOption {
  if (chosen === null) return series;
  const isDimmed = (row: number) => stateOf([rows[row]], chosen).isDimmed;
  if (series.type === "line") {
    // Bars of intervals, whose opacity is that of the whole series.
    const points = series.data as ([number, number] | [null, null])[];
    return { ...series, data: points.filter(([, row]) => row === null || !isDimmed(row)) };
  }
  const data = (series.data ?? []) as (number[] | { value: number; itemStyle: object })[];
  return {
    ...series,
    data: data.map((item, position) => {
      const row = Array.isArray(item) ? item[1] : position;
      const value = Array.isArray(item) ? { value: item } : item;
      const style = Array.isArray(item) ? {} : item.itemStyle;
      return isDimmed(row) ? { ...value, itemStyle: { ...style, opacity: dimmed } } : item;
    }),
  } as SeriesOption;
}

/** Returns a nearly transparent colour `#rrggbb`. */
function faded(color: string): string {
  return `${color}66`;
}

/**
 * Places labels for the chart's new width, since the legend has the names: each stands beside its point, is moved into
 * the chart if an edge would cut it, and is left out if it would cover another.
 */
function withoutOverlap(series: ScatterSeriesOption, width: number): ScatterSeriesOption {
  const { dy = 0 } = (series.labelLayout ?? {}) as { dy?: number };
  return {
    ...series,
    labelLayout: ({ labelRect }) => ({
      hideOverlap: true,
      dx: Math.max(0, edge - labelRect.x) - Math.max(0, labelRect.x + labelRect.width + edge - width),
      dy: Math.max(-labelRise, Math.min(labelRise, dy)),
    }),
    labelLine: { show: false },
  };
}

function asArray<Item>(items: Item | readonly Item[] | undefined): readonly Item[] {
  if (items === undefined) return [];
  return Array.isArray(items) ? items : [items as Item];
}
