import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import type { RowSource } from "../../core/results/result-columns.ts";
import type { RouterChoice, Scenario } from "../../core/scenario/scenario.ts";
import { trains } from "../../core/simulation/open-scenario.ts";
import { type PassResult, runPass } from "../../core/simulation/pass.ts";
import type { PassPlan } from "../../core/simulation/pass-plan.ts";
import { removeWhole } from "../files/output-folder.ts";
import { checkStepFiles, createStepFiles, type StepFiles } from "../files/result-files.ts";
import { type PassCheckpoint, readPassCheckpoint, writePassCheckpoint } from "./pass-checkpoint.ts";

/** A pass over a scenario's stream, for one thread to make. Plain data. */
export interface PassTask {
  readonly scenario: Scenario;
  readonly plan: PassPlan;
  /** Where the routers' part files go. */
  readonly folder: string;
  readonly backend: KernelBackend;
  readonly checkpoint: TaskCheckpoint | null;
}

/** Where and how often a pass is to keep what it has done. Plain data. */
export interface TaskCheckpoint {
  readonly file: string;
  /** Steps. */
  readonly every: number;
  /** Holds the checkpoint of an earlier run, which goes away once there is one of this; null if another pass removes it. */
  readonly superseded: string | null;
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

/**
 * Makes the pass of `task` and writes its routers' part files; where there is a checkpoint of it, from there on.
 * `onProgress` is called now and then for each router.
 */
export async function writePass(
  { scenario, plan, folder, backend, checkpoint }: PassTask,
  onProgress: (progress: RouterProgress) => void,
): Promise<PassResult> {
  const kept = checkpoint === null ? null : readPassCheckpoint(checkpoint.file);
  if (kept !== null && "result" in kept) {
    for (const [index, position] of plan.routers.entries()) checkStepFiles(folder, position, kept.files[index]);
    for (const progress of wholeProgress(scenario, kept.result)) onProgress(progress);
    return kept.result;
  }
  const files: StepFiles[] = [];
  const told = new Map(plan.routers.map((position) => [scenario.routers[position], { at: 0, steps: 0 }]));
  const flush = () => files.map((file) => file.flush());
  const keep = (what: PassCheckpoint) => {
    if (checkpoint === null) return;
    writePassCheckpoint(checkpoint.file, what);
    if (checkpoint.superseded !== null) removeWhole(checkpoint.superseded);
  };
  let end: PassCheckpoint & { readonly result: PassResult };
  try {
    const coming = { ...scenario, trains: trains(scenario) };
    for (const [index, position] of plan.routers.entries()) {
      const source = rowSource(scenario, scenario.routers[position]);
      files.push(createStepFiles(folder, position, source, coming, kept?.files[index]));
    }
    const fileOf = new Map(plan.routers.map((position, index) => [scenario.routers[position], files[index]]));
    const result = await runPass(scenario, plan, {
      kernels: await loadKernels(backend),
      onStep(router, record) {
        fileOf.get(router)!.write(record);
        const last = told.get(router)!;
        const now = performance.now();
        if (now - last.at < progressMs && record.step < scenario.steps - 1) return;
        const steps = record.step + 1 - last.steps;
        onProgress({ router: router.name, steps, maxVio: record.metrics.maxVio });
        told.set(router, { at: now, steps: record.step + 1 });
      },
      from: kept?.state,
      keeper: checkpoint && { every: checkpoint.every, keep: (state) => keep({ state, files: flush() }) },
    });
    end = { result, files: checkpoint === null ? [] : flush() };
  } finally {
    for (const file of files) file.close();
  }
  keep(end);
  return end.result;
}

/** What is told of a pass that was made before. */
function wholeProgress({ steps, routers }: Scenario, { runs }: PassResult): RouterProgress[] {
  return runs.map(({ position, summary }) => ({
    router: routers[position].name,
    steps,
    maxVio: summary.maxVioBatches.at(-1)!,
  }));
}

/** Whose rows in the files these are. */
export function rowSource(scenario: Scenario, router: RouterChoice): RowSource {
  return { scenario: scenario.name, router: router.name, kind: router.kind, seed: scenario.seed };
}
