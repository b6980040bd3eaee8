import type { EChartsOption } from "echarts";
import { chartOption } from "../../pictures/chart-option.ts";
import { type Picture, pictureWidth } from "../../pictures/picture.ts";
import type { Theme } from "../../pictures/theme.ts";

const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';

/**
 * The picture's option for a chart `width` pixels wide in a page: in the page's font, and where it is narrower than it was
 * laid out for, with legends of one line to leaf through, which leave room for the picture.
 */
export function pageOption(picture: Picture, theme: Theme, width: number): EChartsOption {
  const option = chartOption(picture, theme);
  return {
    ...option,
    textStyle: { ...option.textStyle, fontFamily },
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
    }),
  };
}

/** Applies `change` to a component's option, or to each where a picture has several of it. */
function mapOption<Option>(option: Option | Option[] | undefined, change: (option: Option) => Option) {
  if (option === undefined) return [];
  return Array.isArray(option) ? option.map(change) : change(option);
}
