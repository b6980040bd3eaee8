import { max, sum } from "d3-array";
import type { GridComponentOption, LegendComponentOption } from "echarts";
import { type Picture, pictureWidth } from "../picture.ts";
import { textWidth } from "./text.ts";

const fontSize = 12;
/** Wide enough to tell dashes apart. */
const strokeWidth = 30;
const symbolWidth = 14;
/** Pages may fall back to a font that is a little wider. */
const allowance = 1.05;
/** Minimum number of columns, however long the names are. */
const leastColumns = 2;

/** A line or a point of a picture, as the legend lists it. */
export interface LegendEntry {
  readonly name: string;
  readonly mark: "stroke" | "symbol";
}

/**
 * Returns a legend in columns of equal width at the bottom of a picture `width` pixels wide, and its height in pixels.
 * Long names end in an ellipsis; there are as many rows as needed.
 */
export function legendOf(
  entries: readonly LegendEntry[],
  width = pictureWidth,
): { legend: LegendComponentOption; height: number } {
  const markWidth = entries.some(({ mark }) => mark === "symbol") ? symbolWidth : strokeWidth;
  const available = width - 2 * margin;
  const beside = markWidth + markGap + entryGap;
  const widest = (available + entryGap) / leastColumns - beside;
  const needed = max(entries, ({ name }) => textWidth(name, fontSize)) ?? 0;
  const nameWidth = Math.ceil(Math.min(widest - 1, needed * allowance));
  const columns = Math.floor((available + entryGap) / (beside + nameWidth));
  return {
    height: legendHeight(entries.length, columns),
    legend: {
      // The symbol that ECharts puts on a stroke is not on the line.
      data: entries.map(({ name, mark }) => ({ name, itemStyle: { opacity: mark === "stroke" ? 0 : 1 } })),
      left: margin,
      width: available,
      bottom: margin / 2,
      itemWidth: markWidth,
      itemGap: entryGap,
      inactiveColor: "@gridLine",
      // An invisible background makes a name take its full width.
      textStyle: {
        color: "@text",
        fontSize,
        lineHeight,
        width: nameWidth,
        overflow: "truncate",
        backgroundColor: "transparent",
      },
    },
  };
}

/** Entries of lines. */
export function strokes(names: readonly string[]): LegendEntry[] {
  return names.map((name) => ({ name, mark: "stroke" }));
}

/** Pixels between an entry's mark and its name, as in ECharts. */
const markGap = 5;
const entryGap = 10;
export const lineHeight = 14;
export const margin = 12;

/** Returns the pixels that `entries` take in this many columns. */
export function legendHeight(entries: number, columns: number): number {
  return Math.ceil(entries / columns) * (lineHeight + entryGap) + margin;
}

/** Returns the legends of `picture`, each as `legendOf` made it. */
export function legendsOf({ option }: Picture): LegendComponentOption[] {
  return [option.legend ?? []].flat();
}

/** Returns `picture` without its legends and their room, for callers that list the entries beside it. */
export function withoutLegends(picture: Picture): Picture {
  const { option, panels, height } = picture;
  const heights = legendsOf(picture).map(({ data, width, itemWidth, textStyle }) => {
    const entryWidth = Number(itemWidth) + markGap + entryGap + Number(textStyle!.width);
    return legendHeight(data!.length, Math.floor((Number(width) + entryGap) / entryWidth));
  });
  const { legend: _, ...rest } = option;
  const total = sum(heights);
  const grids = [option.grid ?? []].flat();
  return {
    ...picture,
    height: height - total,
    ...(panels !== undefined && { panels: { ...panels, foot: panels.foot - total } }),
    option: {
      ...rest,
      grid: grids.map(
        (grid, panel): GridComponentOption =>
          grid.bottom === undefined
            ? // Panels below one another have a legend each.
              { ...grid, top: Number(grid.top) - sum(heights.slice(0, panel)) }
            : { ...grid, bottom: Number(grid.bottom) - total },
      ),
    },
  };
}
