import { max, min } from "d3-array";
import type { EChartsOption } from "echarts";
import { decadesAround, stepAxis, vertical } from "../parts/axes.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import { type Line, type Lines, lineSeries } from "../parts/lines.ts";
import { type PanelLayout, placePanels } from "../parts/panels.ts";
import { pictureWidth } from "../picture.ts";

const plotHeight = 320;
/** Fraction of the largest value: smaller values are noise and would squeeze the rest of a logarithmic axis. */
const leastShown = 1e-6;

/**
 * Draws sums over the steps on a linear axis and, beside it, on a logarithmic one, which shows growth rates and small
 * sums. Omits the logarithmic panel if no value is positive. `notes` says what that panel cannot show.
 */
export function cumulativePicture(
  { lines, notes }: Lines,
  yName: string,
  width = pictureWidth,
): { option: EChartsOption; panels: PanelLayout; height: number; notes: readonly string[] } {
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
  const { legend, height: legendHeight } = legendOf(strokes(lines.map(({ name }) => name)), width);
  const steps = stepAxis(lines.flatMap(({ points }) => points.map(({ step }) => step)));
  const layout: PanelLayout = {
    columns: panels,
    leastWidth: 360,
    left: 64,
    right: 24,
    above: 40,
    plotHeight,
    below: 44,
    foot: legendHeight,
  };
  const isCut = values.some((value) => value < least);
  const option: EChartsOption = {
    legend,
    xAxis: Array.from({ length: panels }, (_, gridIndex) => ({ ...steps, gridIndex })),
    yAxis: [
      { ...vertical, type: "value", name: yName, gridIndex: 0 },
      ...(decades === null
        ? []
        : [{ ...vertical, type: "log", name: `${yName}, logarithmic`, gridIndex: 1, ...decades } as const]),
    ],
    axisPointer: { link: [{ xAxisIndex: "all" }] },
    tooltip: { trigger: "axis" },
    series: [
      ...lines.flatMap((line) => lineSeries(line, 0, Number.NEGATIVE_INFINITY)),
      ...logarithmic.flatMap((line) => lineSeries(line, 1, decades?.min ?? 0)),
    ],
  };
  return {
    option,
    panels: layout,
    height: placePanels({ option, panels: layout }, width).height,
    notes: [
      ...(panels === 2 ? ["The two panels show the same on a linear and a logarithmic axis."] : []),
      ...(panels === 2 && isCut
        ? ["The logarithmic axis omits values of 0 and below, and those under a millionth of the largest."]
        : []),
      ...notes,
    ],
  };
}

/** Returns the points of `line` that a logarithmic axis from `least` can show, as a line; nothing if there are none. */
function positivePart(line: Line, least: number): Line[] {
  const points = line.points.filter(({ value }) => value >= least);
  return points.length === 0 ? [] : [{ ...line, points }];
}
