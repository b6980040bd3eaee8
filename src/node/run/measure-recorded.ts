import { expertCapacity } from "../../core/assignment.ts";
import type { RecordedChoices, RecordedStep } from "../../core/formats/recorded-choices.ts";
import { defaultDeadWindow } from "../../core/metrics/idle.ts";
import { createRunSummary } from "../../core/metrics/run-summary.ts";
import { loadMetrics } from "../../core/metrics/step-metrics.ts";
import type { StepRecord } from "../../core/metrics/step-record.ts";
import type { RowSource, SummaryRow } from "../../core/results/result-columns.ts";
import { defaultLoadSamples } from "../../core/scenario/schema.ts";
import { createStepFiles, joinStepFiles, writeSummary } from "../files/result-files.ts";

export interface MeasureOptions {
  /** What the files call the recording. */
  readonly name: string;
  /** Devices of expert parallelism; divides the experts. */
  readonly ranks: number;
  readonly onProgress: (steps: number) => void;
}

/**
 * The load, idle and rank metrics of one recorded step. Without logits there is no score, churn or router z. A recording
 * of loads alone does not tell T·K, and takes the pairs that it counts for it. `rankLoad` `[ranks]` is scratch.
 */
export function recordedStepRecord(
  { step, tokens, load }: RecordedStep,
  topK: number | null,
  rankLoad: Float64Array,
): StepRecord {
  const pairs = tokens === null || topK === null ? load.reduce((sum, count) => sum + count, 0) : tokens * topK;
  const capacity = expertCapacity(pairs, { tokens: pairs, experts: load.length, topK: 1, capacityFactor: 1 });
  return { step, tokens, load, metrics: loadMetrics(load, capacity, pairs, rankLoad), regret: null };
}

/**
 * Measures what a real model did and writes summary.csv, steps.csv, loads.csv and diagnostics.csv into `folder`, with
 * router `recorded`. Throws `InputError` where the data is bad.
 */
export async function measureRecorded(
  recorded: RecordedChoices,
  folder: string,
  { name, ranks, onProgress }: MeasureOptions,
): Promise<SummaryRow> {
  const { experts, steps, topK } = recorded;
  const source: RowSource = { scenario: name, router: "recorded", kind: "recorded", seed: null };
  const rankLoad = new Float64Array(ranks);
  const summaryBuilder = createRunSummary({
    experts,
    ranks,
    deadWindow: defaultDeadWindow(steps),
  });
  const files = createStepFiles(folder, 0, source, { steps, loadSamples: defaultLoadSamples, trains: false });
  try {
    for (let step = await recorded.next(); step !== null; step = await recorded.next()) {
      const record = recordedStepRecord(step, topK, rankLoad);
      summaryBuilder.observe(record);
      files.write(record);
      onProgress(step.step + 1);
    }
  } finally {
    files.close();
  }
  await joinStepFiles(folder, [{ source, regret: null, dualRegret: null }], false);
  const row = { source, sizes: recorded, summary: summaryBuilder.summary() };
  writeSummary(folder, [row]);
  return row;
}
