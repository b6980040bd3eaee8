import type { EChartsOption, LineSeriesOption } from "echarts";
import { fallingAxis, stepAxis, vertical } from "./axes.ts";
import { legendOf, strokes } from "./legend.ts";
import { type Line, type LinePoint, lineSeries } from "./lines.ts";

const plotHeight = 340;

/**
 * The option of a picture of a metric that is never negative, a line per variant, and its height in pixels.
 *
 * @param noise lines of the same variants that are drawn faintly behind
 * @param isFalling whether low values, at the end, are the ones to be told apart
 */
export function stepPicture(
  lines: readonly Line[],
  yName: string,
  { noise = [], isFalling = false }: { readonly noise?: readonly Line[]; readonly isFalling?: boolean } = {},
): { option: EChartsOption; height: number } {
  const { legend, height } = legendOf(strokes(lines.map(({ name }) => name)));
  const bottom = height + 44;
  const points = [...lines, ...noise].flatMap((line) => line.points);
  const axis = isFalling ? fallingAxis(points.flatMap(shownRange)) : ({ type: "value" } as const);
  const isLogarithmic = axis.type === "log";
  return {
    height: plotHeight + bottom,
    option: {
      legend,
      grid: { left: 64, right: 24, top: 40, bottom },
      xAxis: stepAxis(lines.flatMap(({ points }) => points.map(({ step }) => step))),
      yAxis: { ...vertical, name: isLogarithmic ? `${yName}, logarithmic` : yName, ...axis },
      tooltip: { trigger: "axis" },
      series: [
        ...lines.flatMap((line) => lineSeries(line, 0, isLogarithmic ? axis.min : 0)),
        ...noise.map(noiseSeries),
      ],
    },
  };
}

/** What of a point and its band a logarithmic axis must reach: not all of a wide band, which may go to 0 and below. */
function shownRange({ value, halfWidth }: LinePoint): [number, number] {
  return [Math.max(value - (halfWidth ?? 0), value / 2), value + (halfWidth ?? 0)];
}

/** `line` without its band, and silent. */
function noiseSeries(line: Line): LineSeriesOption {
  const [stroke] = lineSeries(line, 0, 0);
  return { ...stroke, lineStyle: { width: 1, opacity: 0.25 }, z: 2, silent: true, tooltip: { show: false } };
}
