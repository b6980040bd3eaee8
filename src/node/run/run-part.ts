import { setImmediate } from "node:timers/promises";
import { deserialize, serialize } from "node:v8";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import type { StepRecord } from "../../core/metrics/step-record.ts";
import { figuresOf } from "../../core/metrics/step-series.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import type { PartResult } from "../../core/simulation/result.ts";
import type { SimulationPart } from "../../core/simulation/sharing.ts";
import { createSimulation, type Simulation, type SimulationState } from "../../core/simulation/simulation.ts";
import { removeWhole } from "../files/output-folder.ts";
import { readSealed, writeSealed } from "../files/sealed-file.ts";

/** A part of a run, for one thread. Plain data. */
export interface PartTask {
  readonly scenario: Scenario;
  readonly part: SimulationPart;
  readonly backend: KernelBackend;
  readonly checkpoint: TaskCheckpoint | null;
}

/** Where and how often a part keeps what it has done. Plain data. */
export interface TaskCheckpoint {
  readonly file: string;
  /** Steps. */
  readonly every: number;
  /** Holds the checkpoint of an earlier run, which goes away once there is one of this; null if another part removes it. */
  readonly superseded: string | null;
}

/** What is kept of a part: where it stands, or what it found. */
type PartCheckpoint = { readonly state: SimulationState } | { readonly result: PartResult };

/** One router has routed some more batches. Plain data. */
export interface RouterProgress {
  readonly router: string;
  /** Steps since the last report. */
  readonly steps: number;
  /** Of the last of them. */
  readonly maxVio: number;
}

/** If progress were reported more often, reports would queue up between threads. */
const progressMs = 50;

/**
 * Steps `simulation` to its end and closes it. Yields the records of each step, and lets signals and the progress bar have
 * their turn after it: synthetic streams never wait.
 */
export async function* eachStep(simulation: Simulation): AsyncGenerator<readonly StepRecord[], void> {
  try {
    for (let records = await simulation.step(); records !== null; records = await simulation.step()) {
      yield records;
      await setImmediate();
    }
  } finally {
    await simulation.close();
  }
}

/** Runs the part of `task`, from its checkpoint if there is one. `onProgress` is called now and then for each router. */
export async function runPart(
  { scenario, part, backend, checkpoint }: PartTask,
  onProgress: (progress: RouterProgress) => void,
): Promise<PartResult> {
  const kept = checkpoint === null ? null : readCheckpoint(checkpoint.file);
  if (kept !== null && "result" in kept) {
    for (const progress of wholeProgress(scenario, kept.result)) onProgress(progress);
    return kept.result;
  }
  const keep = (what: PartCheckpoint) => {
    if (checkpoint === null) return;
    writeSealed(checkpoint.file, serialize(what));
    if (checkpoint.superseded !== null) removeWhole(checkpoint.superseded);
  };
  const told = part.routers.map(() => ({ at: 0, steps: 0 }));
  const simulation = await createSimulation(scenario, { kernels: await loadKernels(backend), part, from: kept?.state });
  let keptSteps = simulation.steps;
  for await (const records of eachStep(simulation)) {
    const { steps } = simulation;
    for (const [index, { metrics }] of records.entries()) {
      const now = performance.now();
      if (now - told[index].at < progressMs && steps < scenario.steps) continue;
      const router = scenario.routers[part.routers[index]].name;
      onProgress({ router, steps: steps - told[index].steps, maxVio: metrics.maxVio });
      told[index] = { at: now, steps };
    }
    if (checkpoint !== null && steps > keptSteps && steps < scenario.steps && steps % checkpoint.every === 0) {
      keep({ state: simulation.state() });
      keptSteps = steps;
    }
  }
  const result = await simulation.result();
  keep({ result });
  return result;
}

/** Null if there is none. Throws `InputError` if it is damaged. */
function readCheckpoint(file: string): PartCheckpoint | null {
  const bytes = readSealed(file);
  return bytes === null ? null : deserialize(bytes);
}

/** The progress of a part that was finished before. */
function wholeProgress({ steps, routers }: Scenario, { runs }: PartResult): RouterProgress[] {
  return runs.map(({ position, series }) => ({
    router: routers[position].name,
    steps,
    maxVio: figuresOf(series.figures, "max_vio").at(-1)!,
  }));
}
