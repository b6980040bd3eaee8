import { counted } from "../../words.ts";
import { namedMetric, rangeSentence } from "../parts/findings.ts";
import { linesOf } from "../parts/lines.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { cumulativePicture } from "./cumulative-picture.ts";

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
