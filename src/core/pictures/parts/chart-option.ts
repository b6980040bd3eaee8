import type { EChartsOption } from "echarts";
import { laidOut, type Picture, pictureWidth } from "../picture.ts";
import { type Theme, withTheme } from "./theme.ts";

/** Font family of images and fallback of pages: shipped with the program, the same on every machine. */
export const fontFamily = "DejaVu Sans, Verdana, sans-serif";

/** Tooltip of a picture: plain text in the theme's colours. */
const tooltipStyle = {
  confine: true,
  backgroundColor: "@background",
  borderColor: "@gridLine",
  textStyle: { color: "@text", fontSize: 12 },
  // No wider than the picture, however long names are.
  extraCssText: "max-width: 100%; white-space: normal; overflow-wrap: anywhere",
} as const;

/**
 * Returns the ECharts option for `picture` in the colours of `theme`, `width` pixels wide, and the height in pixels.
 * Works in a page as well as without a browser.
 */
export function chartOption(
  picture: Picture,
  theme: Theme,
  width = pictureWidth,
): { option: EChartsOption; height: number } {
  const { option, height } = laidOut(picture, width);
  return {
    height,
    option: withTheme(
      {
        animation: false,
        backgroundColor: "@background",
        textStyle: { fontFamily, color: "@text" },
        aria: { enabled: true, label: { description: picture.finding } },
        ...option,
        tooltip: { ...tooltipStyle, ...option.tooltip },
      },
      theme,
    ),
  };
}
