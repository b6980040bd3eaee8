import { sum } from "d3-array";
import type { GridComponentOption, LegendComponentOption } from "echarts";
import type { Picture } from "../picture.ts";

/** Pixels between an entry's mark and its name, as in ECharts. */
export const markGap = 5;
export const entryGap = 10;
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
