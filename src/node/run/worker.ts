import "../platform.ts";
import { parentPort } from "node:worker_threads";
import { move, transferableSymbol, valueSymbol, workerData } from "piscina";
import { withOwnStrings } from "../../core/words.ts";
import { loadPlugin } from "../plugins.ts";
import type { QueuedTask } from "../queue/queued-cell.ts";
import type { CellTask } from "./cell.ts";
import type { LayersTask } from "./diagnose-recorded.ts";
import type { PartTask } from "./run-scenario.ts";
import { answerOf, type WorkerAnswer, type WorkerData } from "./worker-pool.ts";

/** The modules of the tasks. A thread loads only the one it needs, which saves a quarter of its start. */
const modules = {
  part: () => import("./run-scenario.ts"),
  cell: () => import("./cell.ts"),
  layers: () => import("./diagnose-recorded.ts"),
  queuedCell: () => import("../queue/queued-cell.ts"),
};
// Loaded before the thread says that it is ready: ending a thread that is still loading crashes Node 20.
await modules[(workerData as WorkerData).task]();

/** Loads the plugins that the program has; the first task waits for them. */
async function loadPlugins(): Promise<void> {
  const { plugins }: WorkerData = workerData;
  for (const { path, sha256 } of plugins) await loadPlugin(path, sha256);
}

/** Runs a part of a scenario in a worker thread and posts its routers' progress. Moves the result's arrays without copying. */
export async function part(task: PartTask): Promise<unknown> {
  const answer = await answerOf(async () => {
    await loadPlugins();
    const { runPart } = await modules.part();
    return runPart(withOwnStrings(task), (progress) => parentPort?.postMessage(progress));
  });
  return move({ [transferableSymbol]: Array.from(new Set(buffersOf(answer))), [valueSymbol]: answer });
}

/** Runs one cell of a sweep in a worker thread and posts its progress. */
export function cell(task: CellTask): Promise<WorkerAnswer<unknown>> {
  return answerOf(async () => {
    await loadPlugins();
    const { runCell } = await modules.cell();
    return runCell(withOwnStrings(task), (progress) => parentPort?.postMessage(progress));
  });
}

/** Diagnoses some layers of a recording in a worker thread; posts a message after each. */
export function layers(task: LayersTask): Promise<WorkerAnswer<unknown>> {
  return answerOf(async () => {
    const { diagnoseLayers } = await modules.layers();
    return diagnoseLayers(withOwnStrings(task), () => parentPort?.postMessage(null));
  });
}

/** Runs one cell of a queue in a worker thread and posts its progress under the name of its job. */
export function queuedCell(task: QueuedTask): Promise<WorkerAnswer<unknown>> {
  return answerOf(async () => {
    await loadPlugins();
    const { runQueuedCell } = await modules.queuedCell();
    return runQueuedCell(withOwnStrings(task), (work) => parentPort?.postMessage({ job: task.job, work }));
  });
}

/** The buffers of all arrays in plain data. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (typeof value !== "object" || value === null) return [];
  if (ArrayBuffer.isView(value)) return [value.buffer as ArrayBuffer];
  return Object.values(value).flatMap(buffersOf);
}
