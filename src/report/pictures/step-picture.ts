import type { EChartsOption, LineSeriesOption } from "echarts";
import { stepAxis, vertical } from "./axes.ts";
import { legendOf, strokes } from "./legend.ts";
import { type Line, lineSeries } from "./lines.ts";

const plotHeight = 340;

/**
 * The option of a picture of a metric that is never negative, a line per variant, and its height in pixels. `noise` are
 * lines of the same variants that are drawn faintly behind.
 */
export function stepPicture(
  lines: readonly Line[],
  yName: string,
  noise: readonly Line[] = [],
): { option: EChartsOption; height: number } {
  const { legend, height } = legendOf(strokes(lines.map(({ name }) => name)));
  const bottom = height + 44;
  return {
    height: plotHeight + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: stepAxis(lines.flatMap(({ points }) => points.map(({ step }) => step))),
      yAxis: { ...vertical, type: "value", name: yName },
      tooltip: { trigger: "axis" },
      series: [...lines.flatMap((line) => lineSeries(line, 0, 0)), ...noise.map(noiseSeries)],
    },
  };
}

function noiseSeries(line: Line): LineSeriesOption {
  const [stroke] = lineSeries(line, 0, 0);
  return { ...stroke, lineStyle: { width: 1, opacity: 0.25 }, z: 2, silent: true, tooltip: { show: false } };
}
