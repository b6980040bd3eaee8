import { type KernelBackend, loadKernels } from "../kernels/index.ts";
import type { RowSource } from "../report/result-columns.ts";
import { createStepFiles, type StepFiles } from "../report/result-files.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { trains } from "./open-scenario.ts";
import { type PassResult, runPass } from "./pass.ts";
import type { PassPlan } from "./pass-plan.ts";

/** A pass over a scenario's stream, for one thread to make. Plain data. */
export interface PassTask {
  readonly scenario: Scenario;
  readonly plan: PassPlan;
  /** Where the routers' part files go. */
  readonly folder: string;
  readonly backend: KernelBackend;
}

/** One router has routed some more batches. Plain data. */
export interface RouterProgress {
  readonly router: string;
  /** Steps since it was last told. */
  readonly steps: number;
  /** Of the last of them. */
  readonly maxVio: number;
}

/** Told more often, progress would pile up on its way from one thread to the other. */
const progressMs = 50;

/** Makes the pass of `task` and writes its routers' part files. `onProgress` is called now and then for each router. */
export async function writePass(
  { scenario, plan, folder, backend }: PassTask,
  onProgress: (progress: RouterProgress) => void,
): Promise<PassResult> {
  const files = new Map<RouterChoice, StepFiles>();
  const told = new Map(plan.routers.map((position) => [scenario.routers[position], { at: 0, steps: 0 }]));
  try {
    for (const position of plan.routers) {
      const router = scenario.routers[position];
      const coming = { ...scenario, trains: trains(scenario) };
      files.set(router, createStepFiles(folder, position, rowSource(scenario, router), coming));
    }
    return await runPass(scenario, plan, {
      kernels: await loadKernels(backend),
      onStep(router, record) {
        files.get(router)!.write(record);
        const last = told.get(router)!;
        const now = performance.now();
        if (now - last.at < progressMs && record.step < scenario.steps - 1) return;
        const steps = record.step + 1 - last.steps;
        onProgress({ router: router.name, steps, maxVio: record.metrics.maxVio });
        told.set(router, { at: now, steps: record.step + 1 });
      },
    });
  } finally {
    for (const file of files.values()) file.close();
  }
}

/** Whose rows in the files these are. */
export function rowSource(scenario: Scenario, router: RouterChoice): RowSource {
  return { scenario: scenario.name, router: router.name, kind: router.kind, seed: scenario.seed };
}
