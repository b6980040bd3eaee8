import type { KernelBackend } from "../../core/kernels/index.ts";
import type { SummaryRow } from "../../core/results/result-columns.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { type PartResult, type RouterResult, routerResults } from "../../core/simulation/result.ts";
import { shareParts } from "../../core/simulation/sharing.ts";
import { partFile } from "../files/output-folder.ts";
import { rowSource, writeSteps, writeSummary, writeTiming } from "../files/result-files.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";
import { type PartTask, type RouterProgress, runPart } from "./run-part.ts";
import { runOnWorkers } from "./worker-pool.ts";

export interface RunOptions {
  /** Threads to use, at least 1; never more than there are parts. */
  readonly workers: number;
  readonly backend: KernelBackend;
  /** Called now and then for each router, and after its last step. */
  readonly onProgress: (progress: RouterProgress) => void;
  /** Where a part of the run may be done already, and what is done is kept. */
  readonly checkpoint?: RunCheckpoint | null | undefined;
}

/**
 * Runs all routers of `scenario` and writes summary.csv, steps.csv, loads.csv, diagnostics.csv and timing.csv into
 * `folder`. All but timing.csv are the same bytes for the same scenario, seed and backend, for any number of workers: what
 * a router does, an optimum or a bias in hindsight depends on nothing else in its part, and all are put together in the
 * scenario's order.
 */
export async function runScenario(scenario: Scenario, folder: string, options: RunOptions): Promise<RouterResult[]> {
  const { workers, backend, onProgress, checkpoint = null } = options;
  const tasks = (checkpoint?.parts ?? shareParts(scenario, workers)).map(
    (part, index): PartTask => ({
      scenario,
      part,
      backend,
      checkpoint: checkpoint && {
        file: partFile(checkpoint.folder, index),
        every: checkpoint.every,
        superseded: index === 0 ? checkpoint.earlier : null,
      },
    }),
  );
  const parts: PartResult[] = [];
  if (workers === 1) for (const task of tasks) parts.push(await runPart(task, onProgress));
  else parts.push(...(await runOnWorkers<PartTask, PartResult, RouterProgress>("part", tasks, workers, onProgress)));

  const results = routerResults(scenario, parts);
  await writeSteps(folder, scenario, results);
  writeSummary(
    folder,
    results.map((result) => summaryRow(scenario, result)),
  );
  writeTiming(
    folder,
    results.map(({ router, timing }) => ({ source: rowSource(scenario, router), timing })),
  );
  return results;
}

/** A router's row of summary.csv. */
export function summaryRow(scenario: Scenario, { router, summary }: RouterResult): SummaryRow {
  return { source: rowSource(scenario, router), sizes: scenario, summary };
}
