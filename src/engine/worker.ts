import { parentPort } from "node:worker_threads";
import { InputError } from "../core/input-error.ts";
import { type CellTask, runCell } from "./run-cell.ts";
import { type RouterTask, runRouters } from "./run-routers.ts";
import type { RouterResult } from "./simulate.ts";
import type { WorkerAnswer } from "./worker-answer.ts";

/** Runs some routers of a scenario in a worker thread and posts a message after each of their steps. */
export function routers(task: RouterTask): Promise<WorkerAnswer<RouterResult[]>> {
  return answer(() => runRouters(task, () => parentPort?.postMessage("step")));
}

/** Runs one cell of a sweep in a worker thread and posts a message when it is done. */
export function cell(task: CellTask): Promise<WorkerAnswer<void>> {
  return answer(async () => {
    await runCell(task);
    parentPort?.postMessage("cell");
  });
}

async function answer<Result>(work: () => Promise<Result>): Promise<WorkerAnswer<Result>> {
  try {
    return { result: await work() };
  } catch (error) {
    if (error instanceof InputError) return { inputError: error.message };
    throw error;
  }
}
