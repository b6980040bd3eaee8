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
      "Score per pair that was lost against the best assignment within capacity, summed over the measured steps: lower is " +
        "better, and a straight line on the linear axis loses the same on every step.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("Cumulative regret at the end", namedMetric(data, "regret_cumulative")),
    ...drawn,
  };
}
