import { EventEmitter } from "node:events";
import { setImmediate } from "node:timers/promises";
import { beforeEach, expect, it, vi } from "vitest";
import { runOnThreads } from "../../../src/node/run/worker-pool.ts";

const pools: FakePool[] = [];

/** A pool whose tasks answer with themselves, and whose threads say that they have loaded when the test lets them. */
class FakePool extends EventEmitter {
  readonly threads: EventEmitter[];
  destroyed = false;

  constructor({ minThreads }: { minThreads: number }) {
    super();
    this.threads = Array.from({ length: minThreads }, () => new EventEmitter());
    pools.push(this);
  }

  async run(answer: object): Promise<object> {
    return answer;
  }

  async destroy(): Promise<void> {
    this.destroyed = true;
  }
}

vi.mock("piscina", () => ({ Piscina: FakePool }));

beforeEach(() => {
  pools.length = 0;
});

type Answer = { readonly result: number } | { readonly error: { readonly message: string } };

const bad = { message: "bad data", lines: ["bad data"], fields: {} };

/** Does a task here as the fake threads do. */
async function answer(task: Answer): Promise<number> {
  if ("error" in task) throw new Error(task.error.message);
  return task.result;
}

/** Runs `tasks` on this thread and three that load one after the other; returns what came of it and when the pool ended. */
async function run(tasks: Answer[]) {
  const outcome = Promise.allSettled([runOnThreads("part", tasks, 4, () => undefined, answer)]);
  await vi.waitUntil(() => pools.length === 1);
  const [pool] = pools;
  const endedBefore: boolean[] = [];
  for (const thread of pool.threads) {
    await setImmediate();
    endedBefore.push(pool.destroyed);
    thread.emit("message", "loaded");
  }
  const [settled] = await outcome;
  return { settled, endedBefore, ended: pool.destroyed };
}

it("ends no thread before it has loaded, which Node 20 would not survive, whether tasks fail or are done at once", async () => {
  const failed = await run([{ result: 1 }, { error: bad }, { result: 3 }, { result: 4 }]);
  expect(failed.settled).toMatchObject({ status: "rejected", reason: { message: "bad data" } });
  expect(failed).toMatchObject({ endedBefore: [false, false, false], ended: true });

  pools.length = 0;
  const done = await run([{ result: 1 }, { result: 2 }, { result: 3 }, { result: 4 }]);
  expect(done.settled).toMatchObject({ status: "fulfilled", value: [1, 2, 3, 4] });
  expect(done).toMatchObject({ endedBefore: [false, false, false], ended: true });
});

it("starts no thread for a single one, and stops at the first error", async () => {
  const started: number[] = [];
  const run = runOnThreads(
    "part",
    [1, 2, 3],
    1,
    () => undefined,
    async (task) => {
      started.push(task);
      if (task === 2) throw new Error("bad data");
      return task;
    },
  );
  await expect(run).rejects.toThrow("bad data");
  expect([started, pools.length]).toEqual([[1, 2], 0]);
});

it("tells the task of this thread that one of another has failed", async () => {
  const outcome = runOnThreads<Answer | "endless", number, never>(
    "part",
    ["endless", { error: bad }],
    2,
    () => undefined,
    (_, __, signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  );
  const settled = Promise.allSettled([outcome]);
  await vi.waitUntil(() => pools.length === 1);
  pools[0].threads[0].emit("message", "loaded");
  expect((await settled)[0]).toMatchObject({ status: "rejected", reason: { message: "bad data" } });
});
