import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { InputError } from "../../core/input-error.ts";
import { toScenarioFile } from "../../core/scenario/scenario.ts";
import { version } from "../../core/version.ts";
import { counted } from "../../core/words.ts";
import { digestOfFile } from "../files/input-file.ts";
import { filesOfScenario, isRunning } from "../files/results-folder.ts";
import { writeRunRecord } from "../files/write-results.ts";
import { type CellProgress, cellWork, type FinishedCell, readFinished } from "../run/cell.ts";
import { namedFilesOf, openInput } from "../run/run-record.ts";
import { type CellRunner, longestFirst, type MissingCell } from "../run/run-sweep.ts";
import { connectQueue, type QueueAddress, type QueueConnection } from "./connection.ts";
import { receiveFiles, sendFiles } from "./file-transfer.ts";
import {
  beatMs,
  type CellJob,
  collectorSchema,
  deadMs,
  digestOf,
  type JobInput,
  keptSeconds,
  keyPrefix,
  keys,
  parseMessage,
  parseOrNull,
  progressSchema,
  queueName,
  resultSchema,
  type SentFile,
  workerSchema,
} from "./messages.ts";

export interface QueueOptions {
  readonly address: QueueAddress;
  /** How long the server may be unreachable. */
  readonly patienceMs: number;
  /** Files larger than this are not sent; workers must have them under the same path. */
  readonly maxFileBytes: number;
  /** Whether to take over the cells of an interrupted sweep of the same cells from the queue. */
  readonly resume: boolean;
  /** Called with the number of workers now and then. */
  readonly onWorkers: (workers: number) => void;
  /** Called with something that the user should know while waiting. */
  readonly onNotice: (text: string) => void;
}

/** BullMQ takes none above. */
const maxPriority = 2 ** 21;
/** A cell whose worker throws, or sends something else, is tried once more, on whichever worker is free. */
const attempts = 2;
const jobsPerCall = 200;
/** How often to look for finished cells whose event was lost with a connection. */
const lookMs = 2000;
const mostReported = 10;

/** A cell that is not back yet. */
interface WaitingCell {
  readonly cell: MissingCell;
  readonly data: CellJob;
  readonly priority: number;
  /** Fraction of its work that was reported. */
  done: number;
  /** How often its files did not arrive, or were not of this cell. */
  misses: number;
}

/**
 * Returns who runs cells on the workers of a queue: puts all into it, the longest first, and brings the files of each back into
 * its folder. Several sweeps share the workers by turns: a cell's priority is its place in its own sweep, counted from where
 * the waiting ones of other sweeps are. A cell fails when it was tried twice; all others are still brought back. Throws
 * `InputError` then, or if the server is unreachable for too long; the jobs stay in the queue for `resume`.
 */
export function queueRunner(options: QueueOptions): CellRunner {
  return async (cells, onProgress) => {
    if (cells.length === 0) return [];
    const connection = await connectQueue(options.address, options.patienceMs, (reason) =>
      options.onNotice(`${options.address.name}: the queue is unreachable (${reason}); trying again`),
    );
    try {
      // Calls that wait for the server end when the connection is closed; nobody waits for them then.
      const collected = collect(cells, connection, options, onProgress);
      collected.catch(() => undefined);
      return await Promise.race([collected, connection.lost]);
    } finally {
      connection.close();
    }
  };
}

async function collect(
  cells: readonly MissingCell[],
  connection: QueueConnection,
  options: QueueOptions,
  onProgress: (progress: CellProgress) => void,
): Promise<FinishedCell[]> {
  const { client } = connection;
  const { Queue, QueueEvents } = await import("bullmq");
  const name = queueName();
  const queue = new Queue(name, { connection: client, prefix: keyPrefix });
  const events = new QueueEvents(name, { connection: client, prefix: keyPrefix });
  // Errors of connections are reported by `connectQueue`.
  queue.on("error", () => undefined);
  events.on("error", () => undefined);
  connection.whenClosed(() => events.close());
  connection.whenClosed(() => queue.close());
  const jobs = await jobsOf(cells);
  const sweep = await openSweep(client, queue, jobs, options.resume);
  const beat = beatOf(client, sweep, name, options);
  const first = await firstPriority(queue);
  const waiting = new Map<string, WaitingCell>();
  for (const [turn, index] of longestFirst(cells).entries()) {
    const priority = Math.min(maxPriority, first + turn);
    const data = { ...jobs[index], sweep: sweep.name };
    waiting.set(jobName(sweep.name, cells[index]), { cell: cells[index], data, priority, done: 0, misses: 0 });
  }
  const finished = new Map<number, FinishedCell>();
  const failures = new Map<number, string>();
  const report = (waits: WaitingCell, done: number, isDone: boolean) => {
    const work = Math.max(0, done - waits.done) * cellWork(waits.cell.task.scenario);
    waits.done = Math.max(waits.done, done);
    onProgress({ work, cells: isDone ? 1 : 0 });
  };

  return await new Promise<FinishedCell[]>((resolve, reject) => {
    /** What is done one after the other, so that memory holds one cell. */
    let chain: Promise<void> = Promise.resolve();
    const inTurn = (work: () => Promise<void>) => {
      chain = chain.then(work).catch((error) => {
        end();
        reject(error);
      });
    };
    const timer = setInterval(() => inTurn(look), lookMs);
    const end = () => {
      clearInterval(timer);
      beat.stop();
    };
    connection.whenClosed(async () => end());

    /** Ends the sweep when every cell is back or has failed. */
    async function settle(): Promise<void> {
      if (waiting.size > 0) return;
      end();
      if (failures.size === 0) {
        // A cell that was in its folder when the earlier program ended may still be in the queue.
        if (sweep.isResumed) await removeJobs(queue, client, sweep.name);
        await client.del(keys.sweep(sweep.digest), keys.collector(sweep.name));
        resolve(cells.map(({ index }) => finished.get(index)!));
        return;
      }
      await client.del(keys.collector(sweep.name));
      reject(failuresError(failures, finished.size));
    }

    async function bring(id: string, value: unknown): Promise<void> {
      const waits = waiting.get(id);
      if (waits === undefined) return;
      const { cell } = waits;
      const brought = await bringCell(client, cell, value);
      await forget(queue, id);
      if (brought === null) {
        waits.misses += 1;
        if (waits.misses === attempts) await fail(id, "its files did not arrive, or were not of this cell");
        else await addJobs(queue, [[id, waits]]);
        return;
      }
      waiting.delete(id);
      finished.set(cell.index, brought);
      report(waits, 1, true);
      await settle();
    }

    async function fail(id: string, reason: string): Promise<void> {
      const waits = waiting.get(id);
      if (waits === undefined) return;
      waiting.delete(id);
      failures.set(waits.cell.index, reason);
      report(waits, 1, false);
      await settle();
    }

    /** Looks where each waiting cell is, whatever events there were. */
    async function look(): Promise<void> {
      const ids = Array.from(waiting.keys());
      for (let from = 0; from < ids.length; from += jobsPerCall) {
        const some = ids.slice(from, from + jobsPerCall);
        const states = await Promise.all(some.map((id) => queue.getJobState(id)));
        for (const [position, id] of some.entries()) {
          const state = states[position];
          if (state === "unknown") await addJobs(queue, [[id, waiting.get(id)!]]);
          if (state !== "completed" && state !== "failed") continue;
          const job = await queue.getJob(id);
          if (job === undefined) continue;
          if (state === "completed") await bring(id, job.returnvalue);
          else await fail(id, job.failedReason ?? "it failed");
        }
      }
    }

    events.on("completed", ({ jobId, returnvalue }) => inTurn(() => bring(jobId, returnvalue)));
    events.on("failed", ({ jobId, failedReason }) => inTurn(() => fail(jobId, failedReason)));
    events.on("progress", ({ jobId, data }) => {
      const waits = waiting.get(jobId);
      const done = progressSchema.safeParse(data);
      if (waits !== undefined && done.success) report(waits, done.data, false);
    });
    inTurn(async () => {
      await sendInputs(client, cells, jobs, options.maxFileBytes);
      if (sweep.isResumed) await removeFailed(queue, Array.from(waiting.keys()));
      // The jobs of a resumed sweep are known by their names and stay as they are.
      await addJobs(queue, Array.from(waiting));
      await look();
    });
  });
}

/** The jobs of `cells`, whose `sweep` is still to be named. */
async function jobsOf(cells: readonly MissingCell[]): Promise<CellJob[]> {
  const digests = new Map<string, SentFile>();
  const jobs: CellJob[] = [];
  for (const { task } of cells) {
    const { scenario, scenarioFile, rerun, backend } = task;
    const inputs: JobInput[] = [];
    for (const { name, files } of await namedFilesOf(scenario)) {
      const sent: SentFile[] = [];
      for (const file of files) {
        const place = path.resolve(file);
        let known = digests.get(place);
        if (known === undefined) {
          known = { name: place, bytes: (await stat(file)).size, sha256: await digestOfFile(file) };
          digests.set(place, known);
        }
        sent.push(known);
      }
      inputs.push({ path: name, files: sent });
    }
    jobs.push({
      version,
      sweep: "",
      scenario: toScenarioFile(scenario) as CellJob["scenario"],
      scenarioFile,
      ...(rerun !== undefined && { rerun: Array.from(rerun) }),
      backend,
      inputs,
    });
  }
  return jobs;
}

function jobName(sweep: string, { task }: MissingCell): string {
  // A resumed sweep has fewer cells, so a cell is known by what it is rather than by its place.
  return `${sweep}-${digestOf(JSON.stringify(toScenarioFile(task.scenario))).slice(0, 16)}`;
}

/** A sweep in the queue. */
interface OpenSweep {
  readonly digest: string;
  readonly name: string;
  readonly isResumed: boolean;
}

/**
 * Names the sweep. If `resume`, takes over the jobs of an interrupted one from the same scenario file, unless a living program
 * is collecting them; else removes them.
 */
async function openSweep(client: Redis, queue: Queue, jobs: readonly CellJob[], resume: boolean): Promise<OpenSweep> {
  const { scenarioFile, scenario } = jobs[0];
  const digest = digestOf(JSON.stringify([version, path.resolve(scenarioFile), scenario.name])).slice(0, 16);
  const own = JSON.stringify({ host: hostname(), process: process.pid });
  const before = await client.get(keys.sweep(digest));
  if (before !== null && /^[\w-]{1,64}$/.test(before)) {
    const collector = parseOrNull(collectorSchema, await client.get(keys.collector(before)));
    const isAlive = collector !== null && !(collector.host === hostname() && !isRunning(collector.process));
    if (!isAlive) {
      if (resume) {
        await client.set(keys.collector(before), own, "PX", deadMs);
        return { digest, name: before, isResumed: true };
      }
      await removeJobs(queue, client, before);
    }
  }
  const name = `${digest}-${Math.random().toString(36).slice(2, 10)}`;
  await client.set(keys.sweep(digest), name, "EX", keptSeconds);
  await client.set(keys.collector(name), own, "PX", deadMs);
  return { digest, name, isResumed: false };
}

/** Removes the jobs of a sweep that nobody resumes. */
async function removeJobs(queue: Queue, client: Redis, sweep: string): Promise<void> {
  const known = await queue.getJobs(["prioritized", "waiting", "completed", "failed", "delayed"]);
  for (const job of known) {
    if (!job?.id?.startsWith(`${sweep}-`)) continue;
    const result = resultSchema.safeParse(job.returnvalue);
    if (result.success) await client.del(keys.result(result.data.result));
    await forget(queue, job.id);
  }
}

/** Removes a job; one that a worker is still at stays until it is done. */
async function forget(queue: Queue, id: string): Promise<void> {
  await queue.remove(id).catch(() => undefined);
}

async function removeFailed(queue: Queue, ids: readonly string[]): Promise<void> {
  for (const id of ids) if ((await queue.getJobState(id)) === "failed") await forget(queue, id);
}

/** The priority of a sweep's first cell: that of the cell which is next, so that sweeps take turns from now on. */
async function firstPriority(queue: Queue): Promise<number> {
  const [next] = await queue.getPrioritized(0, 0);
  return next?.opts?.priority ?? 1;
}

async function addJobs(queue: Queue, jobs: readonly (readonly [string, WaitingCell])[]): Promise<void> {
  for (let from = 0; from < jobs.length; from += jobsPerCall) {
    await queue.addBulk(
      jobs.slice(from, from + jobsPerCall).map(([jobId, { data, priority }]) => ({
        name: "cell",
        data,
        opts: {
          jobId,
          priority,
          attempts,
          removeOnComplete: { age: keptSeconds },
          removeOnFail: { age: keptSeconds },
        },
      })),
    );
  }
}

/** Sends the files that cells read, each once, unless the queue has them or they are too large. */
async function sendInputs(
  client: Redis,
  cells: readonly MissingCell[],
  jobs: readonly CellJob[],
  maxBytes: number,
): Promise<void> {
  const sent = new Set<string>();
  for (const [position, { inputs }] of jobs.entries()) {
    for (const { name, bytes, sha256 } of inputs.flatMap(({ files }) => files)) {
      if (sent.has(sha256) || bytes > maxBytes) continue;
      sent.add(sha256);
      const key = keys.file(sha256);
      if ((await client.expire(key, keptSeconds)) === 1) continue;
      const beside = `${key}:${Math.random().toString(36).slice(2)}`;
      const { files } = await sendFiles(client, beside, [{ name: sha256, file: name }]);
      if (files[0].sha256 !== sha256) {
        throw new InputError(`${cells[position].task.scenarioFile}: ${name} was changed while it was sent; run again`);
      }
      await client.rename(beside, key);
    }
  }
}

/**
 * Brings the files of a finished cell into its folder, which appears whole or not at all. Null if they are gone from the queue,
 * damaged, or not of this very cell.
 */
async function bringCell(client: Redis, { task }: MissingCell, value: unknown): Promise<FinishedCell | null> {
  const { scenario, folder, workFolder } = task;
  const names = filesOfScenario(scenario);
  const files = mkdtempSync(path.join(workFolder, "cell-"));
  try {
    const returned = typeof value === "string" ? JSON.parse(value) : value;
    const result = parseMessage(resultSchema, returned, "a result");
    if (
      result.files
        .map(({ name }) => name)
        .sort()
        .join() !== Array.from(names).sort().join()
    ) {
      throw new InputError("a result: has other files than a cell");
    }
    const key = keys.result(result.result);
    await receiveFiles(client, key, result, files);
    const record = JSON.parse(readFileSync(path.join(files, "run.json"), "utf8"));
    // The worker read a file of the same digest, which may have another time.
    if (record.input !== null) writeRunRecord(files, { ...record, input: (await openInput(scenario))?.record ?? null });
    const finished = await readFinished(task, files);
    if (finished === null) throw new InputError("a result: is not of its cell");
    mkdirSync(path.dirname(folder), { recursive: true });
    renameSync(files, folder);
    await client.del(key);
    return { ...finished, folder };
  } catch (error) {
    rmSync(files, { recursive: true, force: true });
    if (error instanceof InputError || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Tells the queue that the sweep is alive, and the user how many workers are. */
function beatOf(client: Redis, sweep: OpenSweep, queue: string, options: QueueOptions): { stop(): void } {
  const own = JSON.stringify({ host: hostname(), process: process.pid });
  let isTold = false;
  const beat = async () => {
    await client.set(keys.collector(sweep.name), own, "PX", deadMs);
    const { here, elsewhere } = await workersAt(client, queue);
    options.onWorkers(here);
    if (here > 0 || isTold) return;
    isTold = true;
    const others =
      elsewhere.length === 0 ? "" : `; those of ${elsewhere.join(", ")} that are there do not take its cells`;
    options.onNotice(
      `no worker of moesim ${version} is at ${options.address.name} yet${others}. Start one with moesim worker --queue …`,
    );
  };
  const timer = setInterval(() => void beat().catch(() => undefined), beatMs);
  void beat().catch(() => undefined);
  return { stop: () => clearInterval(timer) };
}

/** The workers at the queue, by what they say of themselves: cells at once of this queue, and the versions of others. */
async function workersAt(client: Redis, queue: string): Promise<{ here: number; elsewhere: string[] }> {
  const found = new Set<string>();
  for await (const names of client.scanStream({ match: keys.worker("*"), count: jobsPerCall })) {
    for (const name of names) found.add(name);
  }
  let here = 0;
  const elsewhere = new Set<string>();
  for (const name of found) {
    const worker = parseOrNull(workerSchema, await client.get(name));
    if (worker === null) continue;
    if (worker.queue === queue) here += 1;
    else elsewhere.add(worker.version === version ? "other plugins" : `version ${worker.version}`);
  }
  return { here, elsewhere: Array.from(elsewhere) };
}

function failuresError(failures: ReadonlyMap<number, string>, done: number): InputError {
  const lines = Array.from(failures, ([cell, reason]) => `cell ${cell}: ${reason.replaceAll("\n", " ")}`);
  const more = lines.length - mostReported;
  return new InputError(
    `${counted(failures.size, "cell")} failed twice; ${counted(done, "other")} ${done === 1 ? "is" : "are"} kept, ` +
      "and --resume tries again what failed",
    { details: more > 0 ? [...lines.slice(0, mostReported), `… and ${more} more`] : lines },
  );
}
