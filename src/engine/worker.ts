import { parentPort } from "node:worker_threads";
import { InputError } from "../core/input-error.ts";
import { type CellTask, runCell } from "./run-cell.ts";
import { type RouterTask, runRouters } from "./run-routers.ts";
import type { RouterResult } from "./simulate.ts";
import type { WorkerAnswer } from "./worker-answer.ts";

/** Runs some routers of a scenario in a worker thread and posts each of their steps. */
export function routers(task: RouterTask): Promise<WorkerAnswer<RouterResult[]>> {
  return answer(() => runRouters(task, (step) => parentPort?.postMessage(step)));
}

/** Runs one cell of a sweep in a worker thread and posts its progress. */
export function cell(task: CellTask): Promise<WorkerAnswer<void>> {
  return answer(() => runCell(task, (progress) => parentPort?.postMessage(progress)));
}

async function answer<Result>(work: () => Promise<Result>): Promise<WorkerAnswer<Result>> {
  try {
    return { result: await work() };
  } catch (error) {
    if (error instanceof InputError) return { inputError: error.message };
    throw error;
  }
}
