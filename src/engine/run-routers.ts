import { createKernels, type KernelBackend } from "../kernels/index.ts";
import type { RowSource } from "../report/result-columns.ts";
import { createStepFiles, type StepFiles } from "../report/result-files.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { hasDualRegret } from "./regret.ts";
import { type RouterResult, simulate } from "./simulate.ts";

/** Some routers of a scenario, by their positions in it, for one thread to run. Plain data. */
export interface RouterTask {
  readonly scenario: Scenario;
  readonly positions: readonly number[];
  /** Where the part files go. */
  readonly folder: string;
  readonly backend: KernelBackend;
}

/** One router has routed one more batch. Plain data. */
export interface RouterStep {
  readonly router: string;
  /** Of that batch. */
  readonly maxVio: number;
}

/** Runs the routers of `task` and writes their part files. `onStep` is called after each step of each router. */
export async function runRouters(task: RouterTask, onStep: (step: RouterStep) => void): Promise<RouterResult[]> {
  const { scenario, positions, folder, backend } = task;
  const files = new Map<RouterChoice, StepFiles>();
  const routers = positions.map((position) => scenario.routers[position]);
  try {
    for (const position of positions) {
      const router = scenario.routers[position];
      const source = rowSource(scenario, router);
      const { steps, loadSamples } = scenario;
      files.set(router, createStepFiles(folder, position, source, steps, loadSamples, hasDualRegret(scenario, router)));
    }
    const results = await simulate(scenario, routers, {
      kernels: createKernels(backend),
      onStep(router, record) {
        files.get(router)!.write(record);
        onStep({ router: router.name, maxVio: record.metrics.maxVio });
      },
    });
    for (const { router, dualRegret } of results) files.get(router)!.finish(dualRegret?.cumulative ?? null);
    return results;
  } finally {
    for (const file of files.values()) file.close();
  }
}

/** Whose rows in the files these are. */
export function rowSource(scenario: Scenario, router: RouterChoice): RowSource {
  return { scenario: scenario.name, router: router.name, kind: router.kind, seed: scenario.seed };
}
