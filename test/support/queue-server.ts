import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect as connectTo, createServer, type Server, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import { projectPath } from "./program.ts";

const program = ["valkey-server", "redis-server"].find(
  (name) => spawnSync(name, ["--version"], { encoding: "utf8" }).status === 0,
);

/** Whether tests of the queue can run here. `QUEUE_TESTS=required` fails them instead where no server is installed. */
export const hasQueueServer = program !== undefined || process.env.QUEUE_TESTS === "required";

/** A server of Redis or Valkey on a port of its own, on this machine only. */
export interface QueueServer {
  readonly port: number;
  readonly url: string;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
  /** Starts it again on the same port, from its append-only file. */
  restart(): Promise<void>;
  client(): Redis;
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
}

/** Starts a server whose append-only file is in `folder`. `more` are further words of its command line. */
export async function startQueueServer(folder: string, more: readonly string[] = []): Promise<QueueServer> {
  if (program === undefined)
    throw new Error("QUEUE_TESTS=required, but neither valkey-server nor redis-server is installed");
  const port = await freePort();
  let child: ChildProcess;
  const start = async () => {
    const words = [
      "--port",
      `${port}`,
      "--bind",
      "127.0.0.1",
      "--dir",
      folder,
      "--appendonly",
      "yes",
      "--appendfsync",
      "always",
    ];
    child = spawn(program, [...words, "--save", "", ...more], { stdio: "ignore" });
    for (;;) {
      const socket = connectTo(port, "127.0.0.1");
      const isUp = await new Promise((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      socket.destroy();
      if (isUp) return;
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
      await setTimeout(20);
    }
  };
  await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
    restart: start,
    client: () => new Redis(port, "127.0.0.1", { retryStrategy: () => null, maxRetriesPerRequest: null }),
  };
}

/** A worker of the queue, as a process. */
export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly output: () => string;
}

/** Starts `moesim worker`. Its lock is short, so that others soon get the cells of a dead one. */
export function startWorker(url: string, words: readonly string[] = [], env: NodeJS.ProcessEnv = {}): WorkerProcess {
  return startQueueProgram(["worker", "--lock-seconds", "1.5", ...words], url, undefined, env);
}

/** Starts moesim with the queue `url` in its environment. */
export function startQueueProgram(
  words: readonly string[],
  url: string,
  cwd?: string,
  env: NodeJS.ProcessEnv = {},
  preload: readonly string[] = [],
): WorkerProcess {
  const child = spawn(process.execPath, [...preload, projectPath("dist/cli/main.js"), ...words, "--queue", "env"], {
    cwd,
    env: { ...process.env, MOESIM_QUEUE: url, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (text) => {
      output += text;
    });
  }
  return { child, ended: once(child, "close"), output: () => output };
}

/** A way to the server that can be cut. */
export interface CuttableWay {
  readonly url: string;
  /** Ends all connections and refuses new ones until `mend`. */
  cut(): void;
  /** Keeps connections open, but lets nothing through until `mend`. */
  silence(): void;
  mend(): void;
  close(): void;
}

export async function startCuttableWay(port: number): Promise<CuttableWay> {
  const sockets = new Set<Socket>();
  let state: "open" | "cut" | "silent" = "open";
  const way: Server = createServer((near) => {
    if (state === "cut") {
      near.destroy();
      return;
    }
    const far = connectTo(port, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("data", (bytes) => {
        if (state !== "silent") other.write(bytes);
      });
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.on("error", () => undefined);
    }
  }).listen(0, "127.0.0.1");
  await once(way, "listening");
  const { port: own } = way.address() as { port: number };
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `redis://127.0.0.1:${own}`,
    cut() {
      state = "cut";
      endAll();
    },
    silence() {
      state = "silent";
    },
    mend() {
      state = "open";
    },
    close() {
      endAll();
      way.close();
    },
  };
}
