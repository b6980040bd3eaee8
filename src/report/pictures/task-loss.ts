import { max } from "d3-array";
import { namedMetric, rangeSentence } from "./findings.ts";
import { linesOf } from "./lines.ts";
import type { Picture } from "./picture.ts";
import type { ReportData } from "./report-data.ts";
import { runningMean } from "./running-mean.ts";
import { stepPicture } from "./step-picture.ts";

/** A running mean over this part of the steps levels the noise of the batches, and not how training goes. */
const smoothedPart = 1 / 30;
/** The noise of more lines hides them. */
const mostNoisy = 6;

/** The loss of the task that the stream trains on, a smoothed line per variant. */
export function taskLossPicture(data: ReportData): Picture | null {
  const raw = linesOf(data, "task_loss", 2);
  if (raw.lines.length === 0) return null;
  const steps = max(data.variants, ({ series }) => max(series, ({ step }) => step.length))!;
  const radius = Math.round((smoothedPart * steps) / 2);
  const { lines, notes } = linesOf(smoothed(data, radius), "task_loss", 2);
  const hasSeeds = data.variants.some(({ members }) => members.length > 1);
  const noise = radius === 0 || hasSeeds || lines.length > mostNoisy ? [] : raw.lines;
  return {
    id: "task-loss",
    title: "Task loss over the steps",
    reading: [
      "What the model in training loses on each batch, before it learns from it: lower is better, and a line that is low " +
        "sooner has learnt faster.",
      ...(radius > 0 ? [`Lines are running means over ${2 * radius + 1} steps.`] : []),
      ...(noise.length > 0 ? ["The faint ones behind them are the steps themselves."] : []),
      ...notes,
    ].join(" "),
    finding: rangeSentence("Task loss, mean over the last deadWindow steps,", namedMetric(data, "task_loss")),
    ...stepPicture(lines, "task loss", { noise, isFalling: true }),
  };
}

function smoothed(data: ReportData, radius: number): ReportData {
  const variants = data.variants.map((variant) => ({
    ...variant,
    series: variant.series.map(({ step, columns }) => ({
      step,
      columns: { ...columns, task_loss: runningMean(columns.task_loss, radius) },
    })),
  }));
  return { ...data, variants };
}
