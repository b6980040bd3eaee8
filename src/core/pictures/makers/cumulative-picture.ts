import { max, min } from "d3-array";
import type { EChartsOption } from "echarts";
import { counted } from "../../words.ts";
import { decadesAround, stepAxis, vertical } from "../parts/axes.ts";
import { namedMetric, rangeSentence } from "../parts/findings.ts";
import { legendOf, strokes } from "../parts/legend.ts";
import { type Line, type Lines, lineSeries, linesOf } from "../parts/lines.ts";
import { type PanelLayout, placePanels } from "../parts/panels.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";

/** Assignment regret summed over the steps on which the optimum was computed, a line per variant. */
export function regretPicture(data: ReportData, width = pictureWidth): Picture | null {
  const lines = linesOf(data, "regret_cumulative", 2);
  if (lines.lines.length === 0) return null;
  const { notes, ...drawn } = cumulativePicture(lines, "cumulative regret", width);
  return {
    id: "regret",
    title: "Cumulative regret",
    reading: [
      "Score per pair lost against the best assignment within capacity, summed over the measured steps. Lower is better; " +
        "a straight line on the linear axis means the same loss on every step.",
      ...notes,
    ].join(" "),
    finding: rangeSentence(`Cumulative regret at the end${sampleText(data)}`, namedMetric(data, "regret_cumulative")),
    ...drawn,
  };
}

/** Says that the sum leaves out steps, if regret was not measured on all of them. */
function sampleText({ variants }: ReportData): string {
  const columns = variants.flatMap(({ series }) => series.map((one) => one.columns.regret_cumulative));
  const counts = columns.map((column) => ({
    measured: column.filter((value) => !Number.isNaN(value)).length,
    steps: column.length,
  }));
  const partly = counts.filter(({ measured, steps }) => measured > 0 && measured < steps);
  if (partly.length === 0) return "";
  const [{ measured, steps }] = partly;
  const areAlike = counts.every((one) => one.measured === 0 || (one.measured === measured && one.steps === steps));
  return areAlike
    ? `, a sum over the ${counted(measured, "measured step")} of ${steps},`
    : ", a sum over the measured steps only,";
}

/** Online dual regret of the routers with a bias, against the best fixed bias in hindsight. arXiv 2512.03915. */
export function dualRegretPicture(data: ReportData, width = pictureWidth): Picture | null {
  const lines = linesOf(data, "dual_regret_cumulative", 2);
  if (lines.lines.length === 0) return null;
  const { notes, ...drawn } = cumulativePicture(lines, "cumulative dual regret", width);
  return {
    id: "dual-regret",
    title: "Cumulative dual regret",
    reading: [
      "How much the biases have lost so far against the best fixed bias in hindsight, in the dual of the assignment and the " +
        "router's own affinity. Lower is better; below 0 they beat every fixed bias; a line that flattens has learned " +
        "the best one.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("Cumulative dual regret at the end", namedMetric(data, "dual_regret_cumulative")),
    ...drawn,
  };
}

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
