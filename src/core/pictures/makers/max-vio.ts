import { namedMetric, rangeSentence } from "../parts/findings.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { stepPicture } from "./step-picture.ts";

/** MaxVio of each step, a line per variant. Wang et al. 2024, arXiv 2408.15664. */
export function maxVioPicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = stepPicture(data, width, { column: "max_vio", yName: "MaxVio", least: 0 });
  if (drawn === null) return null;
  const { notes, ...picture } = drawn;
  return {
    id: "max-vio",
    title: "MaxVio over the steps",
    reading: [
      "How far the fullest expert is above the mean load on each step; 0 is perfect balance, and lower is better.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("MaxVio, mean over the steps,", namedMetric(data, "max_vio_batch_mean")),
    ...picture,
  };
}
