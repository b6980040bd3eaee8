import type { RecordedChoices } from "../../core/formats/recorded-choices.ts";
import { defaultDeadWindow } from "../../core/metrics/idle.ts";
import { createRunSummary } from "../../core/metrics/run-summary.ts";
import { recordedStepRecord } from "../../core/metrics/step-metrics.ts";
import type { RowSource, SummaryRow } from "../../core/results/result-columns.ts";
import { defaultLoadSamples } from "../../core/scenario/schema.ts";
import { loadSteps } from "../../core/simulation/router-run.ts";
import { createStepFiles, writeSummary } from "../files/result-files.ts";

export interface MeasureOptions {
  /** What the files call the recording. */
  readonly name: string;
  /** Devices of expert parallelism; divides the experts. */
  readonly ranks: number;
  readonly onProgress: (steps: number) => void;
}

/**
 * Measures what a real model did and writes summary.csv, steps.csv, loads.csv and diagnostics.csv into `folder`, with
 * router `recorded`. Throws `InputError` if the data is bad.
 */
export async function measureRecorded(
  recorded: RecordedChoices,
  folder: string,
  { name, ranks, onProgress }: MeasureOptions,
): Promise<SummaryRow> {
  const { experts, steps, topK } = recorded;
  const source: RowSource = { scenario: name, router: "recorded", kind: "recorded", seed: null };
  const rankLoad = new Float64Array(ranks);
  const maxVios: number[] = [];
  const summaryBuilder = createRunSummary({
    experts,
    ranks,
    deadWindow: defaultDeadWindow(steps),
  });
  // Recorded choices come from no seed, and always have the same sample.
  const sampled = new Set(loadSteps({ steps, loadSamples: defaultLoadSamples, seed: 0 }));
  const files = createStepFiles(folder, false);
  try {
    for (let step = await recorded.next(); step !== null; step = await recorded.next()) {
      const record = recordedStepRecord(step, topK, rankLoad);
      summaryBuilder.observe(record);
      maxVios.push(record.metrics.maxVio);
      files.write({ source, step: record.step, figure: ({ value }) => value(record) });
      if (sampled.has(record.step)) files.writeLoad(source, record.step, record.load);
      onProgress(step.step + 1);
    }
  } finally {
    files.close();
  }
  const row = { source, sizes: recorded, summary: summaryBuilder.summary(maxVios) };
  writeSummary(folder, [row]);
  return row;
}
