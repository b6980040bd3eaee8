import { createKernels, type KernelBackend } from "../kernels/index.ts";
import type { RowSource } from "../report/result-columns.ts";
import { createStepFiles, type StepFiles } from "../report/result-files.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
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

/** One router has routed one more batch. Plain data. */
export interface RouterStep {
  readonly router: string;
  /** Of that batch. */
  readonly maxVio: number;
}

/** Makes the pass of `task` and writes its routers' part files. `onStep` is called after each step of each router. */
export async function writePass(
  { scenario, plan, folder, backend }: PassTask,
  onStep: (step: RouterStep) => void,
): Promise<PassResult> {
  const files = new Map<RouterChoice, StepFiles>();
  try {
    for (const position of plan.routers) {
      const router = scenario.routers[position];
      const { steps, loadSamples } = scenario;
      files.set(router, createStepFiles(folder, position, rowSource(scenario, router), steps, loadSamples));
    }
    return await runPass(scenario, plan, {
      kernels: createKernels(backend),
      onStep(router, record) {
        files.get(router)!.write(record);
        onStep({ router: router.name, maxVio: record.metrics.maxVio });
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
