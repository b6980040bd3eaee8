import { paretoLine } from "../parts/pareto-line.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { pointNotes, pointsOf, pointsPicture } from "./points.ts";

/** Price of balance in training: each variant's task loss on the last steps against its mean MaxVio. */
export function taskLossBalancePicture(data: ReportData, width = pictureWidth): Picture | null {
  const points = pointsOf(data, "max_vio_batch_mean", "task_loss");
  if (points.length < 2) return null;
  const { series, notes, finding } = paretoLine(points, { x: "MaxVio", y: "task loss" });
  return {
    id: "task-loss-balance",
    title: "Task loss against MaxVio",
    reading: [
      "Task loss, mean over the last deadWindow steps, and MaxVio, mean over all steps. Lower is better on both axes.",
      ...notes,
      ...pointNotes(points),
    ].join(" "),
    finding,
    ...pointsPicture(points, { x: "MaxVio of a batch, mean", y: "task loss, last steps" }, series, width),
  };
}
