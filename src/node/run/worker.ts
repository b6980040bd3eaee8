import "../platform.ts";
import { parentPort } from "node:worker_threads";
import { move, transferableSymbol, valueSymbol, workerData } from "piscina";
import { withOwnStrings } from "../../core/words.ts";
import { loadPlugin } from "../plugins.ts";
import { type QueuedTask, runQueuedCell } from "../queue/queued-cell.ts";
import { type CellTask, runCell } from "./cell.ts";
import { diagnoseLayers, type LayersTask } from "./diagnose-recorded.ts";
import { type PartTask, runPart } from "./run-scenario.ts";
import { answerOf, type WorkerAnswer, type WorkerData } from "./worker-pool.ts";

/** Loads the plugins that the program has; the first task waits for them. */
async function loadPlugins(): Promise<void> {
  const { plugins }: WorkerData = workerData;
  for (const { path, sha256 } of plugins) await loadPlugin(path, sha256);
}

/** Runs a part of a scenario in a worker thread and posts its routers' progress. Moves the result's arrays without copying. */
export async function part(task: PartTask): Promise<unknown> {
  const answer = await answerOf(async () => {
    await loadPlugins();
    return runPart(withOwnStrings(task), (progress) => parentPort?.postMessage(progress));
  });
  return move({ [transferableSymbol]: Array.from(new Set(buffersOf(answer))), [valueSymbol]: answer });
}

/** Runs one cell of a sweep in a worker thread and posts its progress. */
export function cell(task: CellTask): Promise<WorkerAnswer<unknown>> {
  return answerOf(async () => {
    await loadPlugins();
    return runCell(withOwnStrings(task), (progress) => parentPort?.postMessage(progress));
  });
}

/** Diagnoses some layers of a recording in a worker thread; posts a message after each. */
export function layers(task: LayersTask): Promise<WorkerAnswer<unknown>> {
  return answerOf(() => diagnoseLayers(withOwnStrings(task), () => parentPort?.postMessage(null)));
}

/** Runs one cell of a queue in a worker thread and posts its progress under the name of its job. */
export function queuedCell(task: QueuedTask): Promise<WorkerAnswer<unknown>> {
  return answerOf(async () => {
    await loadPlugins();
    return runQueuedCell(withOwnStrings(task), (work) => parentPort?.postMessage({ job: task.job, work }));
  });
}

/** The buffers of all arrays in plain data. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (typeof value !== "object" || value === null) return [];
  if (ArrayBuffer.isView(value)) return [value.buffer as ArrayBuffer];
  return Object.values(value).flatMap(buffersOf);
}
