import { namedMetric, rangeSentence } from "./findings.ts";
import { linesOf } from "./lines.ts";
import type { Picture } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { stepPicture } from "./step-picture.ts";

/** The fraction of experts without a token on each step, a line per variant. */
export function idlePicture(data: ReportData): Picture | null {
  const { lines, notes } = linesOf(data, "idle_fraction");
  if (lines.length === 0) return null;
  const isNeverIdle = lines.every(({ points }) => points.every(({ value }) => value === 0));
  return {
    id: "idle",
    title: "Idle experts over the steps",
    reading: [
      "The fraction of experts that got no token on the step. An idle expert takes memory and learns nothing: 0 is best.",
      ...notes,
    ].join(" "),
    finding: isNeverIdle
      ? "No expert is idle on any step."
      : rangeSentence("The fraction of idle experts, mean over the steps,", namedMetric(data, "idle_fraction_mean")),
    ...stepPicture(lines, "idle experts / experts"),
  };
}
