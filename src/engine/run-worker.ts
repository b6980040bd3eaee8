import { parentPort } from "node:worker_threads";
import { InputError } from "../core/input-error.ts";
import { type RouterTask, runRouters } from "./run-routers.ts";
import type { RouterResult } from "./simulate.ts";

/** What a worker thread answers. An error's class does not survive the way between threads, its message does. */
export type WorkerAnswer = { readonly results: RouterResult[] } | { readonly inputError: string };

/** The task of a worker thread: runs some routers and posts a message after each of their steps. */
export default async function runInWorker(task: RouterTask): Promise<WorkerAnswer> {
  try {
    return { results: await runRouters(task, () => parentPort?.postMessage("step")) };
  } catch (error) {
    if (error instanceof InputError) return { inputError: error.message };
    throw error;
  }
}
