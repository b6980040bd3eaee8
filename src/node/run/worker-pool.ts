import { once } from "node:events";
import { InputError } from "../../core/input-error.ts";
import { type PluginFile, pluginFiles } from "../plugins.ts";

/** MiB. Hardly any of a step's garbage survives to the next; with more room, memory would only grow to fill it. */
const youngGeneration = 12;

/** What a worker thread is given when it starts. */
export interface WorkerData {
  /** The function of `worker.ts` that it will run. */
  readonly task: WorkerTask;
  readonly plugins: readonly PluginFile[];
}

/** What a worker thread answers. */
export type WorkerAnswer<Result> = { readonly result: Result } | { readonly error: PlainError };

/** An error as plain data: passing an error between threads loses its class and code. */
interface PlainError {
  readonly message: string;
  /** The lines of an `InputError`; null for any other error. */
  readonly lines: readonly string[] | null;
  /** The stack; for a system error also the call, the file and the code. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Does `work` and returns its result or its error. */
export async function answerOf<Result>(work: () => Promise<Result>): Promise<WorkerAnswer<Result>> {
  try {
    return { result: await work() };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const { message, name, stack, code, errno, syscall, path } = error as NodeJS.ErrnoException;
    const known = Object.entries({ name, stack, code, errno, syscall, path }).filter(
      ([, value]) => value !== undefined,
    );
    const fields = Object.fromEntries(known);
    return { error: { message, lines: error instanceof InputError ? error.lines : null, fields } };
  }
}

function errorOf({ message, lines, fields }: PlainError): Error {
  if (lines === null) return Object.assign(new Error(message), fields);
  const [headline, ...details] = lines;
  // Each detail is indented already.
  return Object.assign(new InputError(headline, { details: details.map((line) => line.slice(2)) }), fields);
}

/** Threads that run tasks until they are ended. What they have loaded and compiled stays for later tasks. */
export interface WorkerPool {
  /**
   * Runs `task` on the next free thread. Throws the task's error: an `InputError` as such, any other with its code, system
   * call, path and stack.
   */
  run<Result>(task: unknown): Promise<Result>;
  /** Ends the threads, and rejects what they are still at. */
  end(): Promise<void>;
}

/** The functions of `worker.ts`. */
type WorkerTask = "part" | "cell" | "layers" | "queuedCell";

/** Starts `threads` threads for the function `name` of `worker.ts`; calls `onMessage` with each message that one of them posts. */
export async function createWorkerPool<Message>(
  name: WorkerTask,
  threads: number,
  onMessage: (message: Message) => void,
): Promise<WorkerPool> {
  // Most commands start no threads and should not wait for this to load.
  const { Piscina } = await import("piscina");
  const pool = new Piscina<unknown, WorkerAnswer<unknown>>({
    filename: new URL("./worker.js", import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    workerData: { task: name, plugins: pluginFiles() } satisfies WorkerData,
    resourceLimits: { maxYoungGenerationSizeMb: youngGeneration },
  });
  const loaded = Promise.allSettled(pool.threads.map((thread) => once(thread, "message")));
  pool.on("message", onMessage);
  return {
    async run<Result>(task: unknown) {
      const answer = await pool.run(task, { name });
      if ("error" in answer) throw errorOf(answer.error);
      return answer.result as Result;
    },
    async end() {
      // Ending a thread while it loads its modules crashes Node 20.
      await loaded;
      await pool.destroy();
    },
  };
}

/** Runs a task in this thread; throws once `signal` is aborted. */
export type RunHere<Task, Result, Message> = (
  task: Task,
  onMessage: (message: Message) => void,
  signal: AbortSignal,
) => Promise<Result>;

/**
 * Runs the tasks, in order, on at most `threads` threads, of which this is one: it has loaded and compiled everything that a
 * task needs. Returns the results in the same order. `name` is the function of `worker.ts` that does in another thread what
 * `runHere` does in this; `onMessage` is called with each message. Throws the first error of a task.
 */
export async function runOnThreads<Task, Result, Message>(
  name: WorkerTask,
  tasks: readonly Task[],
  threads: number,
  onMessage: (message: Message) => void,
  runHere: RunHere<Task, Result, Message>,
): Promise<Result[]> {
  const failed = new AbortController();
  const results: Result[] = [];
  let next = 0;
  // Whoever is free takes the next task.
  const runAll = async (run: (task: Task) => Promise<Result>) => {
    while (next < tasks.length && !failed.signal.aborted) {
      const turn = next++;
      try {
        results[turn] = await run(tasks[turn]);
      } catch (error) {
        failed.abort(error);
      }
    }
  };
  const others = Math.min(threads, tasks.length) - 1;
  const pool = others > 0 ? await createWorkerPool(name, others, onMessage) : null;
  try {
    const here = runAll((task) => runHere(task, onMessage, failed.signal));
    await Promise.all([here, ...Array.from({ length: others }, () => runAll((task) => pool!.run<Result>(task)))]);
  } finally {
    await pool?.end();
  }
  if (failed.signal.aborted) throw failed.signal.reason;
  return results;
}
