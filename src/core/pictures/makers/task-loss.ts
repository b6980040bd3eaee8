import { namedMetric, rangeSentence } from "../parts/findings.ts";
import type { ReportData } from "../parts/report-data.ts";
import { type Picture, pictureWidth } from "../picture.ts";
import { stepPicture } from "./step-picture.ts";

/** The loss of the task that the stream trains on, a smoothed line per variant. */
export function taskLossPicture(data: ReportData, width = pictureWidth): Picture | null {
  const drawn = stepPicture(data, width, {
    column: "task_loss",
    yName: "task loss",
    isFalling: true,
    least: 0,
    figure: null,
  });
  if (drawn === null) return null;
  const { notes, ...picture } = drawn;
  return {
    id: "task-loss",
    title: "Task loss over the steps",
    reading: [
      "The loss of the model in training on each batch, before learning from it. Lower is better; a line that falls sooner " +
        "has learned faster.",
      ...notes,
    ].join(" "),
    finding: rangeSentence("Task loss, mean over the last deadWindow steps,", namedMetric(data, "task_loss")),
    ...picture,
  };
}
