import { InputError } from "../../core/input-error.ts";
import type { KernelBackend } from "../../core/kernels/index.ts";
import { resolveScenario } from "../../core/scenario/load.ts";
import { toScenarioFile } from "../../core/scenario/scenario.ts";
import { type FileCopies, useFileCopies } from "../files/input-file.ts";
import { cellWork, runCell } from "../run/cell.ts";

/** A cell of a queue, for one thread of a worker. Plain data. */
export interface QueuedTask {
  readonly job: string;
  /** As a scenario file has it, unchecked. */
  readonly scenario: object;
  readonly scenarioFile: string;
  readonly rerun?: readonly string[] | undefined;
  readonly backend: KernelBackend;
  readonly copies: FileCopies;
  /** Where the cell's files go; does not exist yet. */
  readonly cellFolder: string;
  readonly workFolder: string;
}

/**
 * Runs a cell that came over a queue. Its scenario is checked as one from a file is. `onProgress` is called with the fraction of
 * the work that is done. Throws `InputError` if the scenario is wrong, or resolves to another than the one that was sent.
 */
export async function runQueuedCell(task: QueuedTask, onProgress: (done: number) => void): Promise<void> {
  const { scenarioFile, rerun, backend, copies, cellFolder, workFolder } = task;
  useFileCopies(copies);
  const scenario = await resolveScenario(task.scenario, scenarioFile);
  if (JSON.stringify(toScenarioFile(scenario)) !== JSON.stringify(task.scenario)) {
    throw new InputError(
      `${scenarioFile}: the scenario means something else on this machine than where it was sent from`,
    );
  }
  const total = cellWork(scenario);
  let done = 0;
  const cell = { scenario, scenarioFile, ...(rerun && { rerun }), folder: cellFolder, workFolder, backend };
  await runCell(cell, ({ work }) => {
    done += work;
    onProgress(Math.min(1, done / total));
  });
}
