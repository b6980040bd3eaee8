import { once } from "node:events";
import { InputError } from "../core/input-error.ts";
import type { WorkerAnswer } from "./worker-answer.ts";

/** MiB. Of what a step leaves behind hardly anything is alive at the next; with more room memory only grows to fill it. */
const youngGeneration = 12;

/**
 * Runs every task on one of at most `threads` worker threads, the first ones first, and returns the results in the tasks'
 * order. `name` is the function of `worker.ts` to run; `onMessage` is called with each message it posts. Throws the first
 * `InputError` of a task.
 */
export async function runOnWorkers<Task, Result, Message>(
  name: "pass" | "cell",
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
        if ("inputError" in answer) throw new InputError(answer.inputError);
        return answer.result;
      }),
    );
  } finally {
    // A thread that is ended while it loads its modules takes the whole process of Node 20 with it.
    await loaded;
    await pool.destroy();
  }
}
