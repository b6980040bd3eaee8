import { namedMetric, rangeSentence } from "./findings.ts";
import { linesOf } from "./lines.ts";
import type { Picture } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { stepPicture } from "./step-picture.ts";

/** MaxVio of each step, a line per variant. Wang et al. 2024, arXiv 2408.15664. */
export function maxVioPicture(data: ReportData): Picture | null {
  const { lines, notes } = linesOf(data, "max_vio");
  if (lines.length === 0) return null;
  return {
    id: "max-vio",
    title: "MaxVio over the steps",
    reading: [
      "How far the fullest expert is above the mean load on each step: 0 is perfect balance, lower is better.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("MaxVio, mean over the steps,", namedMetric(data, "max_vio_batch_mean")),
    ...stepPicture(lines, "MaxVio"),
  };
}
