import type { RecordedChoices } from "../../core/formats/recorded-choices.ts";
import type { RunSummary } from "../../core/metrics/run-summary.ts";
import { type RowSource, type SummaryRow, summaryTable } from "../../core/results/result-columns.ts";
import { defaultLoadSamples } from "../../core/scenario/schema.ts";
import { measureChoices } from "../../core/simulation/recorded.ts";
import { loadSteps } from "../../core/simulation/router-run.ts";
import { createStepFiles, writeTable } from "../files/write-results.ts";

export interface MeasureOptions {
  /** Name of the recording in the files. */
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
  const source: RowSource = { scenario: name, router: "recorded", kind: "recorded", seed: null };
  // Recorded choices have no seed, and so always the same sample.
  const sampled = new Set(loadSteps({ steps: recorded.steps, loadSamples: defaultLoadSamples, seed: 0 }));
  const files = createStepFiles(folder, "none");
  let summary: RunSummary;
  try {
    summary = await measureChoices(recorded, ranks, (record) => {
      const { step, load } = record;
      files.write({ source, step, figure: ({ value }) => value(record) });
      if (sampled.has(step)) files.writeLoad(source, step, load);
      onProgress(step + 1);
    });
  } finally {
    files.close();
  }
  const row = { source, sizes: recorded, summary };
  writeTable(folder, summaryTable([row]));
  return row;
}
