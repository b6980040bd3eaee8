import { max, min } from "d3-array";
import type { EChartsOption } from "echarts";
import { decadesAround, stepAxis, vertical } from "./axes.ts";
import { legendOf, strokes } from "./legend.ts";
import { type Line, type Lines, lineSeries } from "./lines.ts";
import { pictureWidth } from "./picture.ts";

const plotHeight = 320;
const leftMargin = 64;
const rightMargin = 24;
/** Of the largest value: what is below is noise beside it, and would squeeze the rest of a logarithmic axis. */
const leastShown = 1e-6;

/**
 * Sums over the steps on a linear axis and, beside it, on a logarithmic one, which shows growth rates and small sums. The
 * logarithmic panel is left out where no value is positive. `notes` says what that panel cannot show.
 */
export function cumulativePicture(
  { lines, notes }: Lines,
  yName: string,
): { option: EChartsOption; height: number; notes: readonly string[] } {
  const values = lines.flatMap(({ points }) => points.map(({ value }) => value));
  const least = leastShown * max(values)!;
  const logarithmic = least > 0 ? lines.flatMap((line) => positivePart(line, least)) : [];
  const shown = logarithmic.flatMap(({ points }) => points);
  const decades =
    shown.length === 0
      ? null
      : decadesAround(
          min(shown, ({ value }) => value)!,
          max(shown, ({ value, halfWidth }) => value + (halfWidth ?? 0))!,
        );
  const panels = decades === null ? 1 : 2;
  const { legend, height } = legendOf(strokes(lines.map(({ name }) => name)));
  const bottom = height + 44;
  const width = pictureWidth / panels - leftMargin - rightMargin;
  const steps = stepAxis(lines.flatMap(({ points }) => points.map(({ step }) => step)));
  const isCut = values.some((value) => value < least);
  return {
    height: plotHeight + bottom,
    notes: [
      ...(panels === 2 ? ["The same on a linear axis (left) and on a logarithmic one (right)."] : []),
      ...(panels === 2 && isCut
        ? ["The logarithmic axis leaves out values of 0 and below, and those under a millionth of the largest."]
        : []),
      ...notes,
    ],
    option: {
      legend,
      grid: Array.from({ length: panels }, (_, panel) => ({
        left: (panel * pictureWidth) / panels + leftMargin,
        width,
        top: 40,
        bottom,
      })),
      xAxis: Array.from({ length: panels }, (_, gridIndex) => ({ ...steps, gridIndex })),
      yAxis: [
        { ...vertical, type: "value", name: yName, gridIndex: 0 },
        ...(decades === null
          ? []
          : [{ ...vertical, type: "log", name: `${yName}, logarithmic`, gridIndex: 1, ...decades } as const]),
      ],
      tooltip: { trigger: "axis" },
      series: [
        ...lines.flatMap((line) => lineSeries(line, 0, Number.NEGATIVE_INFINITY)),
        ...logarithmic.flatMap((line) => lineSeries(line, 1, decades?.min ?? 0)),
      ],
    },
  };
}

/** The points of `line` that a logarithmic axis from `least` can show: the line, or nothing where there are none. */
function positivePart(line: Line, least: number): Line[] {
  const points = line.points.filter(({ value }) => value >= least);
  return points.length === 0 ? [] : [{ ...line, points }];
}
