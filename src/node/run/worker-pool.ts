import { once } from "node:events";
import { InputError } from "../../core/input-error.ts";

/** MiB. Of what a step leaves behind hardly anything is alive at the next; with more room memory only grows to fill it. */
const youngGeneration = 12;

/** What a worker thread answers. */
export type WorkerAnswer<Result> = { readonly result: Result } | { readonly error: PlainError };

/** An error as plain data: neither the class nor the code of an error itself survives the way between threads. */
interface PlainError {
  readonly message: string;
  /** Of an `InputError`; null of any other. */
  readonly lines: readonly string[] | null;
  /** The stack, and of an error of the system which call failed, on which file, and why. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Does `work` in a worker thread, and answers with what it returns or throws. */
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

/**
 * Runs every task on one of at most `threads` worker threads, the first ones first, and returns the results in the tasks'
 * order. `name` is the function of `worker.ts` to run; `onMessage` is called with each message it posts. Throws the first
 * error of a task: an `InputError` as one, any other with its code, system call, path and stack.
 */
export async function runOnWorkers<Task, Result, Message>(
  name: "part" | "cell",
  tasks: readonly Task[],
  threads: number,
  onMessage: (message: Message) => void,
): Promise<Result[]> {
  // Most commands start no threads, and need not wait for what starts them.
  const { Piscina } = await import("piscina");
  const count = Math.min(threads, tasks.length);
  const pool = new Piscina<Task, WorkerAnswer<Result>>({
    filename: new URL("./worker.js", import.meta.url).href,
    minThreads: count,
    maxThreads: count,
    resourceLimits: { maxYoungGenerationSizeMb: youngGeneration },
  });
  const loaded = Promise.allSettled(pool.threads.map((thread) => once(thread, "message")));
  pool.on("message", onMessage);
  try {
    return await Promise.all(
      tasks.map(async (task) => {
        const answer = await pool.run(task, { name });
        if ("error" in answer) throw errorOf(answer.error);
        return answer.result;
      }),
    );
  } finally {
    // A thread that is ended while it loads its modules takes the whole process of Node 20 with it.
    await loaded;
    await pool.destroy();
  }
}
