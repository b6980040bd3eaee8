import type { EChartsOption } from "echarts";
import { stepAxis, tooltipStyle, vertical } from "./axes.ts";
import { legendOf } from "./legend.ts";
import { type Line, lineSeries } from "./lines.ts";

const plotHeight = 340;

/** The option of a picture with one panel of lines over the steps, and its height in pixels. */
export function stepPicture(lines: readonly Line[], yName: string): { option: EChartsOption; height: number } {
  const { legend, height } = legendOf(lines.map(({ name }) => name));
  const bottom = height + 48;
  return {
    height: plotHeight + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: stepAxis(lines.flatMap(({ points }) => points.map(({ step }) => step))),
      yAxis: { ...vertical, type: "value", name: yName },
      tooltip: { trigger: "axis", ...tooltipStyle },
      series: lines.flatMap((line) => lineSeries(line)),
    },
  };
}
