import type { EChartsOption, ScatterSeriesOption } from "echarts";
import { chartOption } from "../../core/pictures/parts/chart-option.ts";
import type { Theme } from "../../core/pictures/parts/theme.ts";
import { type Picture, pictureWidth } from "../../core/pictures/picture.ts";
import { heatMapTooltip, stepTooltip } from "./tooltips.ts";

const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';

/**
 * The picture's option for a chart `width` pixels wide in a page, and its height in pixels: in the page's font, with what
 * the pointer is told, and if it is narrower than it was laid out for, with legends of one line to leaf through, which leave
 * room for the picture, and without labels on top of one another.
 *
 * @param isHidden whether the legend has hidden the lines of a name
 */
export function pageOption(
  picture: Picture,
  theme: Theme,
  width: number,
  isHidden: (name: string) => boolean,
): { option: EChartsOption; height: number } {
  const { option, height } = chartOption(picture, theme, width);
  const formatter = heatMapTooltip(option) ?? stepTooltip(option, isHidden);
  return {
    height,
    option: {
      ...option,
      textStyle: { ...option.textStyle, fontFamily },
      ...(formatter !== null && { tooltip: { ...option.tooltip, formatter } }),
      ...(width < pictureWidth && {
        legend: mapOption(option.legend, ({ width: _, ...legend }) => ({
          ...legend,
          left: 0,
          right: 0,
          type: "scroll",
          pageIconColor: theme.text,
          pageIconInactiveColor: theme.gridLine,
          pageTextStyle: { color: theme.mutedText },
        })),
        series: mapOption(option.series, (series) => (series.type === "scatter" ? withoutOverlap(series) : series)),
      }),
    },
  };
}

/** Labels were placed for another width, and the legend has the names. */
function withoutOverlap(series: ScatterSeriesOption): ScatterSeriesOption {
  return { ...series, labelLayout: { hideOverlap: true }, labelLine: { show: false } };
}

/** Applies `change` to a component's option, or to each if a picture has several of it. */
function mapOption<Option>(option: Option | Option[] | undefined, change: (option: Option) => Option) {
  if (option === undefined) return [];
  return Array.isArray(option) ? option.map(change) : change(option);
}
