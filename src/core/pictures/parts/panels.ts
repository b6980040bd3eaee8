import type { EChartsOption, TitleComponentOption, VisualMapComponentOption } from "echarts";
import { textWidth } from "./text.ts";

/** Pixels around and between the plots of panels. */
export interface PanelLayout {
  /** Maximum number side by side. */
  readonly columns: number;
  /** Minimum width of a panel with its margins, unless it is the only one in its row. */
  readonly leastWidth: number;
  readonly left: number;
  readonly right: number;
  /** Above each plot, for the panel's title or the name of its axis. */
  readonly above: number;
  readonly plotHeight: number;
  /** Below each plot, for its axis. */
  readonly below: number;
  /** Below all panels, for legends. */
  readonly foot: number;
  /** For a heat map: the number of cells across each plot, and its height. */
  readonly cells?: readonly { readonly across: number; readonly height: number }[];
}

/** A picture drawn as panels: its option lacks their places, which depend on the width. */
export interface PanelPicture {
  readonly option: EChartsOption;
  readonly panels: PanelLayout;
}

const titleSize = 12;
const titleLine = 14;
/** A longer title ends in an ellipsis. */
const mostTitleLines = 3;

/** Returns the height in pixels of the titles of panels whose plots are `width` pixels wide. */
export function titlesHeight(titles: readonly string[], width: number): number {
  const longest = Math.max(...titles.map((title) => textWidth(title, titleSize, true)));
  // Lines break between words, before they are full.
  const lines = longest <= width ? 1 : Math.min(mostTitleLines, 1 + Math.ceil(longest / width));
  return lines * titleLine;
}

/** Returns the titles of panels, without their places. */
export function panelTitles(titles: readonly string[]): TitleComponentOption[] {
  return titles.map((text) => ({
    text,
    padding: 0,
    textStyle: { color: "@text", fontSize: titleSize, fontWeight: "bold", lineHeight: titleLine },
  }));
}

/** Maximum width of a heat map cell. */
const mostCellWidth = 24;
/** Minimum width of pictures with two colour scales side by side; in narrower ones they are stacked. */
const scalesBeside = 720;
const secondScaleLeft = 600;
const narrowScaleLeft = 10;
const scaleLine = 30;

/**
 * Returns the option with a place for every panel in a picture `width` pixels wide, and the resulting height in pixels.
 */
export function placePanels(
  { option, panels }: PanelPicture,
  width: number,
): { option: EChartsOption; height: number } {
  const { left, right, above, plotHeight, below, foot, cells } = panels;
  const count = asArray(option.xAxis).length;
  const columns = Math.max(1, Math.min(panels.columns, count, Math.floor(width / panels.leastWidth)));
  const slot = Math.floor(width / columns);
  const places = Array.from({ length: count }, (_, panel) => ({
    left: (panel % columns) * slot + left,
    top: Math.floor(panel / columns) * (above + plotHeight + below) + above,
    width: plotWidth(slot - left - right, cells?.[panel].across),
    height: cells?.[panel].height ?? plotHeight,
  }));
  const scales = asArray<VisualMapComponentOption>(option.visualMap);
  const isNarrow = scales.length > 1 && width < scalesBeside;
  return {
    height:
      Math.ceil(count / columns) * (above + plotHeight + below) +
      foot +
      (isNarrow ? scaleLine * (scales.length - 1) : 0),
    option: {
      ...option,
      grid: places.map((place) => ({ ...place, outerBoundsMode: "none" })),
      ...(option.title !== undefined && {
        title: asArray<TitleComponentOption>(option.title).map((title, panel) => ({
          ...title,
          left: places[panel].left,
          top: places[panel].top - above,
          textStyle: {
            ...title.textStyle,
            width: slot - left - right,
            height: above,
            overflow: "break",
            lineOverflow: "truncate",
          },
        })),
      }),
      ...(scales.length > 0 && {
        visualMap: scales.map((scale, position) => ({
          ...scale,
          left: isNarrow ? narrowScaleLeft : position === 0 ? left : secondScaleLeft,
          bottom: 8 + (isNarrow ? (scales.length - 1 - position) * scaleLine : 0),
        })) as VisualMapComponentOption[],
      }),
    },
  };
}

/** Uses whole pixels per cell if possible: between fractions of a pixel the background would shine through. */
function plotWidth(available: number, cells: number | undefined): number {
  if (cells === undefined || cells > available) return available;
  return cells * Math.min(mostCellWidth, Math.floor(available / cells));
}

function asArray<Item>(items: Item | readonly Item[] | undefined): readonly Item[] {
  if (items === undefined) return [];
  return Array.isArray(items) ? items : [items as Item];
}
