import { existsSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import type { Job } from "bullmq";
import type { Redis } from "ioredis";
import { InputError } from "../../core/input-error.ts";
import { version } from "../../core/version.ts";
import { digestOfFile, type FileCopies } from "../files/input-file.ts";
import { filesOfRunWith, makeScratchFolder } from "../files/results-folder.ts";
import { createWorkerPool } from "../run/worker-pool.ts";
import { connectQueue, type QueueAddress } from "./connection.ts";
import { receiveFiles, sendFiles } from "./file-transfer.ts";
import {
  beatMs,
  type CellResult,
  deadMs,
  type JobInput,
  jobSchema,
  keyPrefix,
  keys,
  parseMessage,
  queueName,
  type SentFile,
  type WorkerRecord,
} from "./messages.ts";
import type { QueuedTask } from "./queued-cell.ts";

export interface QueueWorkerOptions {
  readonly address: QueueAddress;
  /** Cells at a time, each on a thread. */
  readonly concurrency: number;
  /** How long the server may be unreachable. */
  readonly patienceMs: number;
  /** A worker that has been silent for so long loses its cells to others. */
  readonly lockMs: number;
  /** End after so long without a cell; null to wait for ever. */
  readonly idleMs: number | null;
  /** Aborted to end: cells that are not done go back to the queue. */
  readonly stop: AbortSignal;
  readonly onCell: (cells: number) => void;
  readonly onNotice: (text: string) => void;
}

/**
 * How often a cell may lose its worker: where machines are taken away at any time, dozens of times, since a cell that lost one
 * is the next to be taken. One that always ends its worker, for want of memory, must end some time.
 */
const maxLosses = 100;
/** Seconds that one request for work waits at the server. */
const waitSeconds = 5;
/**
 * Milliseconds of a cell up to which a worker takes the next one while it sends the last: a longer cell would wait here while
 * another worker has nothing to do.
 */
const shortCellMs = 1000;
const progressMs = 500;

/**
 * Takes cells from the queue and runs them until it is stopped, or idle for too long; returns the number of cells. Threads keep
 * what they have compiled, and files that cells read, from one cell to the next. Throws `InputError` if the server is
 * unreachable for too long.
 */
export async function serveQueue(options: QueueWorkerOptions): Promise<number> {
  const { address, concurrency, lockMs, idleMs, stop, onCell, onNotice } = options;
  const connection = await connectQueue(address, options.patienceMs, (reason) =>
    onNotice(`${address.name}: the queue is unreachable (${reason}); trying again`),
  );
  const { client } = connection;
  const name = `${hostname()}-${process.pid}`;
  const queue = queueName();
  const scratch = makeScratchFolder(tmpdir());
  const inputs = inputsIn(scratch, client);
  const reports = new Map<string, (done: number) => void>();
  const pool = await createWorkerPool<{ job: string; work: number }>("queuedCell", concurrency, ({ job, work }) =>
    reports.get(job)?.(work),
  );
  const record = JSON.stringify({ version, queue, concurrency } satisfies WorkerRecord);
  const beat = () => void client.set(keys.worker(name), record, "PX", deadMs).catch(() => undefined);
  beat();
  const timer = setInterval(beat, beatMs);
  let cells = 0;
  let running = 0;
  let runs = 0;
  let idleTimer: NodeJS.Timeout | null = null;
  const stopped = new Promise<void>((resolve) => {
    stop.addEventListener("abort", () => resolve(), { once: true });
    if (stop.aborted) resolve();
  });

  async function runJob(job: Job): Promise<CellResult> {
    const data = parseMessage(jobSchema, job.data, "a job");
    const { scenario, scenarioFile, rerun, backend } = data;
    const cellFolder = path.join(scratch, `cell-${runs++}`);
    const copies = await inputs.copiesOf(data.inputs);
    const task: QueuedTask = {
      job: job.id!,
      scenario,
      scenarioFile,
      rerun,
      backend,
      copies,
      cellFolder,
      workFolder: scratch,
    };
    let toldAt = 0;
    reports.set(task.job, (done) => {
      const now = performance.now();
      if (now - toldAt < progressMs) return;
      toldAt = now;
      void job.updateProgress(done).catch(() => undefined);
    });
    try {
      const start = performance.now();
      await pool.run(task);
      worker.concurrency = performance.now() - start < shortCellMs ? concurrency + 1 : concurrency;
      const has = (file: string) => existsSync(path.join(cellFolder, file));
      const names = filesOfRunWith({ hasLayers: has("layers.csv"), isPlaced: has("gpus.csv") });
      const result = `${job.id}:${name}-${runs}`;
      const sent = await sendFiles(
        client,
        keys.result(result),
        names.map((file) => ({ name: file, file: path.join(cellFolder, file) })),
      );
      return { worker: name, result, ...sent };
    } finally {
      reports.delete(task.job);
      rmSync(cellFolder, { recursive: true, force: true });
    }
  }

  const { Worker, WaitingError } = await import("bullmq");
  const stopping = stopped.then(() => {
    throw new WaitingError();
  });
  stopping.catch(() => undefined);
  const worker = new Worker<unknown, CellResult>(
    queue,
    async (job, token) => {
      running += 1;
      try {
        return await Promise.race([runJob(job), stopping]);
      } catch (error) {
        if (error instanceof WaitingError) {
          await job.moveToWait(token);
          throw error;
        }
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`${name}: ${message}`);
      } finally {
        running -= 1;
      }
    },
    {
      name,
      connection: client,
      prefix: keyPrefix,
      concurrency,
      lockDuration: lockMs,
      stalledInterval: Math.ceil(lockMs / 2),
      maxStalledCount: maxLosses,
      drainDelay: waitSeconds,
      runRetryDelay: 500,
    },
  );
  connection.whenClosed(() => worker.close(true));
  const startIdling = () => {
    if (idleTimer !== null) clearTimeout(idleTimer);
    if (idleMs !== null) idleTimer = setTimeout(() => (running === 0 ? endIdle() : startIdling()), idleMs);
  };
  let endIdle = () => {};
  const idle = new Promise<void>((resolve) => {
    endIdle = resolve;
  });
  startIdling();
  // Errors of connections are reported by `connectQueue`; a lock that was lost means that another worker has the cell.
  worker.on("error", () => undefined);
  worker.on("active", startIdling);
  worker.on("completed", () => {
    cells += 1;
    onCell(cells);
    startIdling();
  });
  worker.on("failed", (job, error) => onNotice(`${job?.id ?? "a cell"}: ${error.message}`));
  try {
    await Promise.race([stopped, idle, connection.lost]);
    // Gives back what is running.
    await Promise.race([worker.close(), connection.lost]);
    await Promise.race([client.del(keys.worker(name)), connection.lost]);
    return cells;
  } finally {
    clearInterval(timer);
    if (idleTimer !== null) clearTimeout(idleTimer);
    connection.close();
    await pool.end();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The files that cells read, on this machine. */
function inputsIn(scratch: string, client: Redis): Inputs {
  const places = new Map<string, Promise<string>>();
  const fetched = new Map<string, Promise<string>>();
  let folders = 0;

  /** Does `find` once for each `key`, unless it fails. */
  function once(found: Map<string, Promise<string>>, key: string, find: () => Promise<string>): Promise<string> {
    let place = found.get(key);
    if (place === undefined) {
      place = find();
      found.set(key, place);
      place.catch(() => found.delete(key));
    }
    return place;
  }

  /** Where a file with the bytes of `input` is: under the same path, or fetched from the queue. */
  async function find(input: SentFile): Promise<string> {
    const { name, sha256 } = input;
    const digest = path.isAbsolute(name) && existsSync(name) ? await digestOfFile(name).catch(() => null) : null;
    return digest === sha256 ? name : once(fetched, `${sha256} ${path.basename(name)}`, () => fetch(input));
  }

  async function fetch({ name, bytes, sha256 }: SentFile): Promise<string> {
    const key = keys.file(sha256);
    const chunks = await client.llen(key);
    if (chunks === 0) {
      throw new InputError(
        `${name}: is not on this machine under that path with the same bytes, and the queue does not have it: ` +
          "it is larger than --max-file of the sweep, or has expired",
      );
    }
    // Readers may take the number of a rank from the name.
    const base = path.basename(name);
    const folder = path.join(scratch, sha256, String(folders++));
    await receiveFiles(client, key, { files: [{ name: base, bytes, sha256 }], chunks }, folder);
    return path.join(folder, base);
  }

  return {
    async copiesOf(inputs) {
      const all = inputs.map(async ({ path: named, files }) => {
        const found: string[] = [];
        for (const file of files) found.push(await once(places, `${file.sha256} ${file.name}`, () => find(file)));
        return [named, found] as const;
      });
      return Object.fromEntries(await Promise.all(all));
    },
  };
}

interface Inputs {
  /** Where the files of `inputs`, or copies of them, are here. Throws `InputError` if one is nowhere. */
  copiesOf(inputs: readonly JobInput[]): Promise<FileCopies>;
}
