import { namedMetric, rangeSentence } from "../parts/findings.ts";
import { linesOf } from "../parts/lines.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { cumulativePicture } from "./cumulative-picture.ts";

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
