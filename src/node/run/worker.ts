import { parentPort } from "node:worker_threads";
import type { PassResult } from "../../core/simulation/pass.ts";
import { type CellTask, runCell } from "./run-cell.ts";
import { answerOf, type WorkerAnswer } from "./worker-pool.ts";
import { type PassTask, writePass } from "./write-pass.ts";

/** Makes a pass over a scenario's stream in a worker thread and posts its routers' progress. */
export function pass(task: PassTask): Promise<WorkerAnswer<PassResult>> {
  return answerOf(() => writePass(task, (progress) => parentPort?.postMessage(progress)));
}

/** Runs one cell of a sweep in a worker thread and posts its progress. */
export function cell(task: CellTask): Promise<WorkerAnswer<void>> {
  return answerOf(() => runCell(task, (progress) => parentPort?.postMessage(progress)));
}
