import { max } from "d3-array";
import type { LegendComponentOption } from "echarts";
import { pictureWidth } from "./picture.ts";
import { textWidth } from "./text-width.ts";

const fontSize = 12;
const iconWidth = 30;
/** Between an entry's icon and its name, as ECharts has it. */
const iconGap = 5;
const entryGap = 10;
const lineHeight = 14;
const margin = 12;
/** Pages may fall back to a font that is a little wider. */
const allowance = 1.05;
const widest = 280;

/**
 * A legend of `names` in columns of equal width at the bottom of the picture, and its height in pixels. Longer names end
 * in an ellipsis, and there are as many rows as it takes.
 *
 * @param bottom pixels between the legend and the picture's lower edge
 */
export function legendOf(names: readonly string[], bottom = 0): { legend: LegendComponentOption; height: number } {
  const needed = max(names, (name) => textWidth(name, fontSize)) ?? 0;
  const width = Math.ceil(Math.min(widest, needed * allowance));
  const available = pictureWidth - 2 * margin;
  const columns = Math.max(1, Math.floor((available + entryGap) / (iconWidth + iconGap + width + entryGap)));
  const height = Math.ceil(names.length / columns) * (lineHeight + entryGap) + margin;
  return {
    height,
    legend: {
      data: Array.from(names),
      left: margin,
      width: available,
      bottom,
      itemWidth: iconWidth,
      itemGap: entryGap,
      inactiveColor: "@gridLine",
      // A background, though nothing shows of it, makes a name take all of its width.
      textStyle: { color: "@text", fontSize, lineHeight, width, overflow: "truncate", backgroundColor: "transparent" },
    },
  };
}
