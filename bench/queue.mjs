// What a queue costs and survives: node bench/queue.mjs [cost|kills] (needs redis-server or valkey-server, and a quiet machine
// for the cost). `cost` sweeps 200 cells of about 50 ms on one thread, on one worker of a queue and on two, in turn. `kills`
// kills 50 workers in their cells and compares the bytes with those of a local sweep.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "moesim-queue-"));
const children = [];
const print = (text) => process.stdout.write(`${text}\n`);

function start(program, words, options = {}) {
  const child = spawn(program, words, { cwd: folder, stdio: "ignore", ...options });
  children.push(child);
  return child;
}

async function startServer() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const program = spawnSync("valkey-server", ["--version"]).status === 0 ? "valkey-server" : "redis-server";
  start(program, ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--dir", folder]);
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const isUp = await new Promise((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isUp) return port;
    await setTimeout(50);
  }
}

const moesim = (words, url) =>
  start(process.execPath, [main, ...words], { env: { ...process.env, MOESIM_QUEUE: url } });

async function run(words, url) {
  const begin = performance.now();
  const [code] = await once(moesim(words, url), "exit");
  if (code !== 0) throw new Error(`moesim ${words.join(" ")} ended with ${code}`);
  return (performance.now() - begin) / 1000;
}

function writeScenario(fields) {
  const scenario = {
    name: "grid",
    experts: 32,
    topK: 2,
    stream: { kind: "clusters" },
    routers: [{ kind: "topk" }, { kind: "alf-lb" }],
    regret: { every: 0 },
    ...fields,
  };
  writeFileSync(path.join(folder, "grid.json"), JSON.stringify(scenario));
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function cost(port) {
  const cells = 200;
  const url = `redis://127.0.0.1:${port}`;
  const seeds = Array.from({ length: cells }, (_, seed) => seed + 1);
  writeScenario({ steps: 60, tokens: 512, seeds });
  const times = { local: [], one: [], two: [] };
  const sweep = (...words) => run(["sweep", "grid.json", "--out", "out", "--quiet", ...words], url);
  for (let round = 0; round < 3; round++) {
    times.local.push(await sweep());
    const first = moesim(["worker", "--quiet"], url);
    // Until it has loaded, and has compiled what every cell needs.
    await sweep("--queue", "env", "--set", "seeds=[1,2,3,4,5,6,7,8,9,10]");
    times.one.push(await sweep("--queue", "env"));
    const second = moesim(["worker", "--quiet"], url);
    await sweep("--queue", "env", "--set", "seeds=[1,2,3,4,5,6,7,8,9,10]");
    times.two.push(await sweep("--queue", "env"));
    for (const worker of [first, second]) {
      worker.kill("SIGTERM");
      await once(worker, "exit");
    }
    print(
      `round ${round + 1}: local ${times.local[round].toFixed(1)} s, one worker ${times.one[round].toFixed(1)} s, two ${times.two[round].toFixed(1)} s`,
    );
  }
  const [local, one, two] = [times.local, times.one, times.two].map(median);
  print(
    `${cells} cells of ${((1000 * local) / cells).toFixed(0)} ms: the queue takes ${((1000 * (one - local)) / cells).toFixed(1)} ms a cell; two workers are ${(one / two).toFixed(2)} times as fast as one`,
  );
}

function bytesIn(name) {
  const all = readdirSync(path.join(folder, name), { recursive: true }).filter((file) => file.endsWith(".csv"));
  const kept = all.filter((file) => path.basename(file) !== "timing.csv").sort();
  return kept.map((file) => `${file}\n${readFileSync(path.join(folder, name, file), "utf8")}`).join("\n");
}

async function kills(port) {
  const wanted = 50;
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(port, "127.0.0.1");
  writeScenario({ steps: 300, tokens: 512, seeds: Array.from({ length: 30 }, (_, seed) => seed + 1) });
  await run(["sweep", "grid.json", "--out", "local", "--quiet"], url);
  const sweep = moesim(["sweep", "grid.json", "--out", "out", "--quiet", "--queue", "env"], url);
  const ended = once(sweep, "exit");
  let killed = 0;
  /** Whether the process `id` is at a cell. */
  const hasCell = async (id) => {
    const [meta] = await client.keys("moesim:cells-*:meta");
    if (meta === undefined) return false;
    const queue = meta.replace(/:meta$/, "");
    for (const job of await client.lrange(`${queue}:active`, 0, -1)) {
      if ((await client.hget(`${queue}:${job}`, "pb")) === `${hostname()}-${id}`) return true;
    }
    return false;
  };
  while (killed < wanted && sweep.exitCode === null) {
    const worker = moesim(["worker", "--quiet", "--lock-seconds", "1"], url);
    let isAtCell = false;
    while (!isAtCell && sweep.exitCode === null) {
      await setTimeout(5);
      isAtCell = await hasCell(worker.pid);
    }
    worker.kill("SIGKILL");
    await once(worker, "exit");
    if (isAtCell) killed += 1;
  }
  print(`${killed} workers killed in a cell`);
  moesim(["worker", "--quiet", "--lock-seconds", "1"], url);
  const [code] = await ended;
  client.disconnect();
  const isSame = code === 0 && bytesIn("local") === bytesIn("out");
  print(`the sweep ended with ${code}; its bytes are ${isSame ? "those of a local one" : "OTHERS"}`);
  if (!isSame) process.exitCode = 1;
}

try {
  const port = await startServer();
  const [, , what] = process.argv;
  if (what !== "kills") await cost(port);
  if (what !== "cost") await kills(port);
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
