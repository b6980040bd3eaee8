import type { KernelBackend } from "../../core/kernels/index.ts";
import type { SummaryRow } from "../../core/results/result-columns.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { trains } from "../../core/simulation/open-scenario.ts";
import type { PassResult } from "../../core/simulation/pass.ts";
import { planPasses } from "../../core/simulation/pass-plan.ts";
import { measuredSteps } from "../../core/simulation/regret.ts";
import { type RouterResult, routerResults } from "../../core/simulation/router-results.ts";
import { passFile } from "../files/output-folder.ts";
import { joinStepFiles, writeSummary, writeTiming } from "../files/result-files.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";
import { runOnWorkers } from "./worker-pool.ts";
import { type PassTask, type RouterProgress, rowSource, writePass } from "./write-pass.ts";

export interface RunOptions {
  /** Threads to use, at least 1; never more than there are passes to make. */
  readonly workers: number;
  readonly backend: KernelBackend;
  /** Called now and then for each router, and after its last step. */
  readonly onProgress: (progress: RouterProgress) => void;
  /** Where a part of the run may be done already, and what is done is kept. */
  readonly checkpoint?: RunCheckpoint | null | undefined;
}

/**
 * Runs all routers of `scenario` and writes summary.csv, steps.csv, loads.csv, diagnostics.csv and timing.csv into
 * `folder`. All but timing.csv are the same bytes for the same scenario, seed and backend, whatever the number of
 * workers: what a router does, an optimum or a bias in hindsight depends on nothing else that its pass over the stream is
 * for, and all are put together in the scenario's order.
 */
export async function runScenario(scenario: Scenario, folder: string, options: RunOptions): Promise<RouterResult[]> {
  const { workers, backend, onProgress, checkpoint = null } = options;
  const plans = checkpoint?.plans ?? planPasses(scenario, workers);
  const partFolder = checkpoint?.folder ?? folder;
  const tasks = plans.map(
    (plan, index): PassTask => ({
      scenario,
      plan,
      folder: partFolder,
      backend,
      checkpoint: checkpoint && {
        file: passFile(checkpoint.folder, index),
        every: checkpoint.every,
        superseded: index === 0 ? checkpoint.earlier : null,
      },
    }),
  );
  const passes: PassResult[] = [];
  if (workers === 1) for (const task of tasks) passes.push(await writePass(task, onProgress));
  else passes.push(...(await runOnWorkers<PassTask, PassResult, RouterProgress>("pass", tasks, workers, onProgress)));

  const results = routerResults(scenario, passes);
  const sample = measuredSteps(scenario);
  await joinStepFiles(
    folder,
    results.map(({ router, regrets, dualRegret }) => ({
      source: rowSource(scenario, router),
      regret: { sample, series: regrets },
      dualRegret: dualRegret?.cumulative ?? null,
    })),
    trains(scenario),
    partFolder,
  );
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
