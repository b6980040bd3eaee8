import { parentPort } from "node:worker_threads";
import { InputError } from "../core/input-error.ts";
import type { PassResult } from "./pass.ts";
import { type CellTask, runCell } from "./run-cell.ts";
import type { WorkerAnswer } from "./worker-answer.ts";
import { type PassTask, writePass } from "./write-pass.ts";

/** Makes a pass over a scenario's stream in a worker thread and posts its routers' progress. */
export function pass(task: PassTask): Promise<WorkerAnswer<PassResult>> {
  return answer(() => writePass(task, (progress) => parentPort?.postMessage(progress)));
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
