import { EventEmitter } from "node:events";
import { setImmediate } from "node:timers/promises";
import { beforeEach, expect, it, vi } from "vitest";
import { runOnWorkers } from "../../../src/node/run/worker-pool.ts";

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

/** Runs `tasks` on three threads that load one after the other; returns what came of it and when the pool ended. */
async function run(tasks: object[]) {
  const outcome = Promise.allSettled([runOnWorkers("part", tasks, 3, () => undefined)]);
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
  const failed = await run([
    { result: 1 },
    { error: { message: "bad data", lines: ["bad data"], fields: {} } },
    { result: 3 },
  ]);
  expect(failed.settled).toMatchObject({ status: "rejected", reason: { message: "bad data" } });
  expect(failed).toMatchObject({ endedBefore: [false, false, false], ended: true });

  pools.length = 0;
  const done = await run([{ result: 1 }, { result: 2 }, { result: 3 }, { result: 4 }]);
  expect(done.settled).toMatchObject({ status: "fulfilled", value: [1, 2, 3, 4] });
  expect(done).toMatchObject({ endedBefore: [false, false, false], ended: true });
});
