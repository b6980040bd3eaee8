import { range } from "d3-array";
import type { KernelBackend } from "../kernels/index.ts";
import type { SummaryRow } from "../report/result-columns.ts";
import { joinStepFiles, writeSummary, writeTiming } from "../report/result-files.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { type RouterStep, type RouterTask, rowSource, runRouters } from "./run-routers.ts";
import type { RouterResult } from "./simulate.ts";
import { runOnWorkers } from "./worker-pool.ts";

export interface RunOptions {
  /** Threads to use, at least 1; never more than there are routers. */
  readonly workers: number;
  readonly backend: KernelBackend;
  /** Called after each step of each router. */
  readonly onStep: (step: RouterStep) => void;
}

/**
 * Runs all routers of `scenario` and writes summary.csv, steps.csv, loads.csv, diagnostics.csv and timing.csv into
 * `folder`. All but timing.csv are the same bytes for the same scenario, seed and backend, whatever the number of
 * workers: each router's rows are made by one thread from its own stream of batches and joined in the scenario's order.
 */
export async function runScenario(scenario: Scenario, folder: string, options: RunOptions): Promise<RouterResult[]> {
  const workers = Math.min(options.workers, scenario.routers.length);
  const tasks = Array.from({ length: workers }, (_, worker): RouterTask => {
    // Dealt in turn, since neighbours in a scenario are often variants of one another and cost the same.
    const positions = range(scenario.routers.length).filter((position) => position % workers === worker);
    return { scenario, positions, folder, backend: options.backend };
  });
  const results =
    workers === 1
      ? [await runRouters(tasks[0], options.onStep)]
      : await runOnWorkers<RouterTask, RouterResult[], RouterStep>("routers", tasks, workers, options.onStep);

  const ordered = scenario.routers.map((_, position) => results[position % workers][Math.floor(position / workers)]);
  await joinStepFiles(folder, scenario.routers.length);
  writeSummary(
    folder,
    ordered.map((result) => summaryRow(scenario, result)),
  );
  writeTiming(
    folder,
    ordered.map(({ router, timing }) => ({ source: rowSource(scenario, router), ...timing })),
  );
  return ordered;
}

/** A router's row of summary.csv. */
export function summaryRow(scenario: Scenario, { router, summary, dualRegret }: RouterResult): SummaryRow {
  return {
    source: rowSource(scenario, router),
    sizes: scenario,
    summary,
    dualRegret: dualRegret?.cumulative.at(-1) ?? null,
  };
}
