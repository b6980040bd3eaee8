import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { Queue } from "bullmq";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { version } from "../../src/core/version.ts";
import { npyBytes } from "../support/npy.ts";
import { moesim, projectPath, temporaryFolder } from "../support/program.ts";
import {
  freePort,
  hasQueueServer,
  type QueueServer,
  startCuttableWay,
  startQueueProgram,
  startQueueServer,
  startWorker,
  type WorkerProcess,
} from "../support/queue-server.ts";
import { bytesOfResults } from "../support/result-bytes.ts";
import { runInProcess } from "../support/run-in-process.ts";

/** Eight cells, each long enough to be killed in. */
const scenario = {
  name: "grid",
  steps: 400,
  tokens: 256,
  experts: 16,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
  regret: { every: 0 },
  sweep: { "routers.alf-lb.updateRate": [0.01, 0.1], topK: [1, 2] },
  seeds: [1, 2],
};
const cells = 8;

/** Starts a worker or a sweep, which ends with the test at the latest. */
function started(process: WorkerProcess): WorkerProcess {
  onTestFinished(() => void process.child.kill("SIGKILL"));
  return process;
}

/** Starts the sweep in `folder` through the queue at `url`. */
const sweep = (folder: string, url: string, ...words: string[]) =>
  started(startQueueProgram(["sweep", "grid.json", "--out", "out", "--quiet", ...words], url, folder));

const staged = (folder: string): string[] => {
  const place = path.join(folder, ".out.moesim/current/files/cells");
  return existsSync(place) ? readdirSync(place) : [];
};

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await setTimeout(20);
}

describe.runIf(hasQueueServer)("moesim sweep --queue", () => {
  let whole: string;
  let server: QueueServer;

  /** A folder with the scenario, in the same place in every test, as far as results tell. */
  function folderWith(changes: object = {}): string {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "grid.json"), JSON.stringify({ ...scenario, ...changes }));
    return folder;
  }

  beforeAll(async () => {
    whole = folderWith();
    await runInProcess(["sweep", "grid.json", "--out", "out", "--quiet"], whole);
    server = await startQueueServer(temporaryFolder());
  });
  afterAll(() => server?.kill());

  const expected = () => bytesOfResults(path.join(whole, "out"));

  async function expectWhole(folder: string, { ended, output }: WorkerProcess): Promise<void> {
    expect([(await ended) as unknown, output()]).toEqual([[0, null], expect.not.stringContaining("error")]);
    expect(bytesOfResults(path.join(folder, "out"))).toEqual(expected());
  }

  it("writes the bytes of a local sweep, in two sweeps at once that share the workers by turns, and leaves nothing", async () => {
    const [one, other] = [folderWith(), folderWith()];
    const sweeps = [sweep(one, server.url), sweep(other, server.url)];
    const client = server.client();
    onTestFinished(() => client.disconnect());
    const key = `moesim:cells-${version}:prioritized`;
    await until(async () => (await client.zcard(key)) === 2 * cells);
    // The first half of what is waiting is as much of one sweep as of the other.
    const first = await client.zrange(key, "0", `${cells - 1}`);
    expect(new Set(first.map((id) => id.split("-").slice(0, 2).join())).size).toBe(2);
    const workers = [started(startWorker(server.url)), started(startWorker(server.url, ["--concurrency", "2"]))];
    await Promise.all([expectWhole(one, sweeps[0]), expectWhole(other, sweeps[1])]);
    for (const { child } of workers) child.kill("SIGTERM");
    expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual([
      [null, "SIGTERM"],
      [null, "SIGTERM"],
    ]);
    const left = (await client.keys("moesim:*")).filter((name) => !/:(id|meta|events|stalled-check)$/.test(name));
    expect(left).toEqual([]);
  });

  it("survives five workers that are killed in a cell", async () => {
    const folder = folderWith();
    const running = sweep(folder, server.url);
    const client = server.client();
    onTestFinished(() => client.disconnect());
    const queue = `moesim:cells-${version}`;
    for (let kill = 0; kill < 5; kill++) {
      const { child, ended } = started(startWorker(server.url));
      await until(async () => {
        const jobs = await client.lrange(`${queue}:active`, 0, -1);
        const workers = await Promise.all(jobs.map((job) => client.hget(`${queue}:${job}`, "pb")));
        return workers.includes(`${hostname()}-${child.pid}`);
      });
      child.kill("SIGKILL");
      await ended;
    }
    expect(running.child.exitCode).toBeNull();
    started(startWorker(server.url, ["--concurrency", "2"]));
    await expectWhole(folder, running);
  });

  it("survives a worker that stops beyond its lock, and goes on when another has its cell", async () => {
    const folder = folderWith();
    const running = sweep(folder, server.url);
    const sleeper = started(startWorker(server.url));
    const client = server.client();
    onTestFinished(() => client.disconnect());
    const active = `moesim:cells-${version}:active`;
    await until(async () => (await client.llen(active)) === 1);
    sleeper.child.kill("SIGSTOP");
    const [held] = await client.lrange(active, 0, 0);
    started(startWorker(server.url));
    // The other has taken every cell but the sleeper's when only that one is left.
    await until(async () => !(await client.lrange(active, 0, -1)).includes(held) || staged(folder).length >= cells - 1);
    await until(async () => !(await client.exists(`moesim:cells-${version}:${held}:lock`)));
    sleeper.child.kill("SIGCONT");
    await expectWhole(folder, running);
    sleeper.child.kill("SIGTERM");
    expect(await sleeper.ended).toEqual([null, "SIGTERM"]);
  });

  it("survives a restart of the server, and connections that are cut or fall silent", async () => {
    const own = await startQueueServer(temporaryFolder());
    onTestFinished(() => own.kill());
    const way = await startCuttableWay(own.port);
    onTestFinished(() => way.close());
    const folder = folderWith();
    const running = sweep(folder, way.url);
    started(startWorker(way.url));
    await until(() => staged(folder).length >= 1);
    way.cut();
    await setTimeout(500);
    way.mend();
    await until(() => staged(folder).length >= 3);
    await own.kill();
    await setTimeout(300);
    await own.restart();
    await until(() => staged(folder).length >= 4);
    started(startWorker(own.url));
    await expectWhole(folder, running);
  });

  it("gives up when the server is gone for good, and --resume computes the rest here", async () => {
    const own = await startQueueServer(temporaryFolder());
    onTestFinished(() => own.kill());
    const folder = folderWith();
    const running = sweep(folder, own.url, "--patience-seconds", "1");
    const worker = started(startWorker(own.url, ["--patience-seconds", "1"]));
    await until(() => staged(folder).length >= 2);
    await own.kill();
    const gone = new RegExp(
      `^moesim: redis://127\\.0\\.0\\.1:${own.port}: the queue has been unreachable for 1 s: `,
      "m",
    );
    for (const { ended, output } of [running, worker]) {
      expect([await ended, output()]).toEqual([[2, null], expect.stringMatching(gone)]);
    }
    const kept = staged(folder);
    expect(kept.length).toBeGreaterThanOrEqual(2);
    const record = (place: string) => readFileSync(path.join(folder, place, kept[0], "run.json"), "utf8");
    const before = record(".out.moesim/current/files/cells");
    expect((await runInProcess(["sweep", "grid.json", "--out", "out", "--quiet", "--resume"], folder)).code).toBe(0);
    expect(bytesOfResults(path.join(folder, "out"))).toEqual(expected());
    expect(record("out/cells")).toBe(before);
  });

  it.each([
    ["a full disk", "ENOSPC"],
    ["Ctrl-C", "SIGINT"],
  ])("resumes after %s from the folder and from what the queue finished meanwhile", async (_, what) => {
    const folder = folderWith();
    const counter = path.join(temporaryFolder(), "calls");
    const fault = { FAULT: what, FAULT_AT: "60", FAULT_STAYS: "1", FAULT_COUNT: counter };
    const preload = what === "SIGINT" ? [] : ["--import", projectPath("test/support/fault.mjs")];
    const words = ["sweep", "grid.json", "--out", "out", "--quiet"];
    const running = started(startQueueProgram(words, server.url, folder, what === "SIGINT" ? {} : fault, preload));
    const worker = started(startWorker(server.url));
    if (what === "SIGINT") {
      await until(() => staged(folder).length >= 2);
      running.child.kill("SIGINT");
    }
    expect(await running.ended).toEqual(what === "SIGINT" ? [null, "SIGINT"] : [2, null]);
    if (what !== "SIGINT") expect(running.output()).toMatch(/^moesim: out: cannot be written to: ENOSPC/m);
    const client = server.client();
    onTestFinished(() => client.disconnect());
    const inQueue = (state: string) => `moesim:cells-${version}:${state}`;
    const count = async () =>
      (await client.zcard(inQueue("prioritized"))) +
      (await client.llen(inQueue("wait"))) +
      (await client.llen(inQueue("active")));
    await until(async () => (await count()) === 0);
    // All cells are done: without a worker, only what is in the queue can complete the sweep.
    worker.child.kill("SIGTERM");
    await worker.ended;
    await expectWhole(folder, sweep(folder, server.url, "--resume"));
    expect(await client.zcard(inQueue("completed"))).toBe(0);
  });

  it("reports a cell that fails twice with its worker and error, and brings back all others", async () => {
    const folder = folderWith({ sweep: { tokens: [64, 3_000_000] }, experts: 512, steps: 2, seeds: undefined });
    const running = sweep(folder, server.url);
    started(startWorker(server.url));
    expect([await running.ended, running.output()]).toEqual([
      [2, null],
      expect.stringMatching(
        /^moesim: 1 cell failed twice; 1 other is kept, and --resume tries again what failed\n {2}cell 1: [\w.-]+-\d+: grid\.json: 3000000 tokens × 512 experts .*4 GiB/m,
      ),
    ]);
    expect(staged(folder)).toEqual(["0"]);
  });

  it("sends the recordings that cells read, to workers that lack them, and refuses what is larger than --max-file", async () => {
    const folder = folderWith({
      stream: { kind: "trace", path: "logits.npy" },
      steps: undefined,
      tokens: undefined,
      experts: undefined,
      seeds: undefined,
    });
    // More than a chunk, and hardly compressible.
    const noise = Array.from({ length: 40 * 512 * 16 }, (_, place) => (1e4 * Math.sin(place)) % 1);
    writeFileSync(path.join(folder, "logits.npy"), npyBytes([40, 512, 16], noise));
    await runInProcess(["sweep", "grid.json", "--out", "here", "--quiet"], folder);
    // As on a machine that has no such file.
    const blind = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module"; const real = fs.existsSync;
      fs.existsSync = (file) => !String(file).endsWith("logits.npy") && real(file); syncBuiltinESMExports();`;
    const preload = ["--import", `data:text/javascript,${encodeURIComponent(blind)}`];
    const worker = started(startQueueProgram(["worker", "--concurrency", "2"], server.url, undefined, {}, preload));
    const refused = sweep(folder, server.url, "--max-file", "0.5");
    expect([await refused.ended, refused.output()]).toEqual([
      [2, null],
      expect.stringMatching(
        /4 cells failed twice.*\n {2}cell \d: .*logits\.npy: is not on this machine under that path with the same/,
      ),
    ]);
    const running = sweep(folder, server.url, "--resume");
    expect([await running.ended, running.output()]).toEqual([[0, null], ""]);
    expect(bytesOfResults(path.join(folder, "out"))).toEqual(bytesOfResults(path.join(folder, "here")));
    worker.child.kill("SIGTERM");
    await worker.ended;
  });

  it("takes the password from the environment and shows it nowhere", async () => {
    const own = await startQueueServer(temporaryFolder(), ["--requirepass", "s3cret"]);
    onTestFinished(() => own.kill());
    const url = `redis://:s3cret@127.0.0.1:${own.port}`;
    const folder = folderWith({ sweep: {}, seeds: undefined, steps: 2 });
    const worker = started(startWorker(url));
    const running = sweep(folder, url);
    expect(await running.ended).toEqual([0, null]);
    const wrong = [own.url, url.replace("s3cret", "wr0ng")].map((address) => sweep(folder, address));
    for (const { ended, output } of wrong) {
      expect([await ended, output()]).toEqual([
        [2, null],
        expect.stringMatching(/the queue refuses the connection: (NOAUTH|WRONGPASS)/),
      ]);
      expect(output()).not.toMatch(/s3cret|wr0ng/);
    }
    worker.child.kill("SIGTERM");
    await worker.ended;
    const texts = [worker.output(), running.output(), readFileSync(path.join(folder, "out/cells/0/run.json"), "utf8")];
    for (const text of texts) expect(text).not.toMatch(/s3cret|MOESIM_QUEUE/);
    const shown = await runInProcess(["sweep", "grid.json", "--queue", url], folder);
    expect(shown).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^moesim: --queue: a password on the command line/),
    });
    expect(shown.stderr).not.toContain("s3cret");
  });

  it("takes rediss:// with a certificate whose authority is named, and says how to name it", async () => {
    const keysFolder = temporaryFolder();
    const [certificate, key] = ["cert.pem", "key.pem"].map((name) => path.join(keysFolder, name));
    const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=queue -addext subjectAltName=IP:127.0.0.1`;
    const made = spawnSync("openssl", [...words.split(" "), "-keyout", key, "-out", certificate], { encoding: "utf8" });
    expect(made.status, made.stderr).toBe(0);
    const port = await freePort();
    const files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate];
    const own = await startQueueServer(temporaryFolder(), [
      ...["--tls-port", `${port}`, "--tls-auth-clients", "no", "--requirepass", "s3cret"],
      ...files,
    ]);
    onTestFinished(() => own.kill());
    const url = `rediss://:s3cret@127.0.0.1:${port}`;
    const folder = folderWith({ sweep: {}, seeds: undefined, steps: 2 });
    const refused = sweep(folder, url);
    expect([await refused.ended, refused.output()]).toEqual([
      [2, null],
      expect.stringMatching(
        /^moesim: rediss:\/\/127\.0\.0\.1:\d+: the certificate of the queue is not trusted \(self-signed certificate\); name the certificate of its authority in NODE_EXTRA_CA_CERTS$/m,
      ),
    ]);
    const env = { NODE_EXTRA_CA_CERTS: certificate };
    const worker = started(startWorker(url, [], env));
    const running = started(startQueueProgram(["sweep", "grid.json", "--out", "out", "--quiet"], url, folder, env));
    expect([await running.ended, running.output()]).toEqual([[0, null], ""]);
    expect(worker.output()).not.toMatch(/Warning|s3cret/);
  });

  it("runs a plugin's router on workers that have it, to the bytes of a local sweep", async () => {
    const folder = folderWith({ routers: [{ kind: "topk" }, { kind: "busy-penalty" }], sweep: {}, steps: 5 });
    const plugin = path.join(folder, "my-plugin.mjs");
    copyFileSync(projectPath("docs/examples/my-plugin.mjs"), plugin);
    const words = ["sweep", "grid.json", "--quiet", "--plugin", plugin];
    const here = moesim([...words, "--out", "here"], folder);
    expect(here).toMatchObject({ code: 0 });
    const without = started(startWorker(server.url));
    const running = started(startQueueProgram([...words, "--out", "out"], server.url, folder));
    await until(() => running.output().includes("no worker of moesim"));
    expect(running.output()).toMatch(/those of other plugins that are there do not take its cells/);
    started(startWorker(server.url, ["--plugin", plugin]));
    expect(await running.ended).toEqual([0, null]);
    expect(without.child.exitCode).toBeNull();
    expect(bytesOfResults(path.join(folder, "out"))).toEqual(bytesOfResults(path.join(folder, "here")));
  });

  it("leaves the cells of another version alone, and says so", async () => {
    const folder = folderWith({ sweep: {}, seeds: undefined, steps: 2 });
    const client = server.client();
    onTestFinished(() => client.disconnect());
    await client.set(
      "moesim:worker:old",
      JSON.stringify({ version: "0.0.1", queue: "cells-0.0.1", concurrency: 1 }),
      "EX",
      60,
    );
    const running = sweep(folder, server.url);
    await until(() => running.output().includes("no worker of moesim"));
    expect(running.output()).toMatch(
      /no worker of moesim \S+ is at redis:\S+ yet; those of (?:other plugins, )?version 0\.0\.1 that are there do not/,
    );
    await client.del("moesim:worker:old");
    started(startWorker(server.url));
    expect(await running.ended).toEqual([0, null]);
  });

  it("fails a job that is not as moesim sends it, and runs a cell again whose result is not", async () => {
    const folder = folderWith({ sweep: {}, seeds: undefined, steps: 2 });
    const client = server.client();
    onTestFinished(() => client.disconnect());
    const queue = new Queue(`cells-${version}`, { connection: client, prefix: "moesim" });
    const running = sweep(folder, server.url);
    await until(async () => (await queue.getPrioritizedCount()) === 1);
    const [job] = await queue.getPrioritized();
    // A worker that is none takes the cell and answers with nonsense.
    const { Worker } = await import("bullmq");
    const liar = new Worker(queue.name, async () => ({ files: "../../etc/passwd" }), {
      connection: client,
      prefix: "moesim",
    });
    await new Promise((resolve) => liar.once("completed", resolve));
    await liar.close();
    const bad = await queue.add(
      "cell",
      { version, scenario: { name: "../x" }, code: "process.exit()" },
      { jobId: "bad-job" },
    );
    started(startWorker(server.url));
    expect(await running.ended).toEqual([0, null]);
    expect(job.id).toBeDefined();
    await until(async () => (await queue.getJobState("bad-job")) === "failed");
    expect((await queue.getJob("bad-job"))?.failedReason).toMatch(/a job: is not as moesim sends it: /);
    await bad.remove();
  });
});

describe("moesim worker", () => {
  it.each([
    [["--lock-seconds", "0.5"], /--lock-seconds: 0\.5 is not allowed; give at least 1/],
    [["--concurrency", "0"], /--concurrency: 0 is not allowed/],
    [["--idle-seconds", "-1"], /--idle-seconds: -1 is not allowed/],
    [["--queue", "env"], /--queue env: MOESIM_QUEUE is not set/],
    [["--queue", "redis://u:p@h"], /--queue: a password on the command line/],
  ])("refuses %j", async (words, message) => {
    vi.stubEnv("MOESIM_QUEUE", undefined);
    onTestFinished(() => void vi.unstubAllEnvs());
    const given = words[0] === "--queue" ? words : ["--queue", "redis://h", ...words];
    expect(await runInProcess(["worker", ...given])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(message),
    });
  });
});

describe("--queue", () => {
  it.each([
    [["--queue", "localhost:6379"], /--queue: is not the URL of a queue; give redis:\/\/HOST:PORT/],
    [["--queue", "http://localhost"], /--queue: is not the URL/],
    [["--queue", "redis://"], /--queue: is not the URL/],
    [["--queue", "redis://h/zero"], /--queue: is not the URL/],
    [["--queue", "file:nowhere"], /nowhere: no such file/],
    [["--queue", "redis://h", "--shard", "1/2"], /queue.*shard/],
    [["--queue", "redis://h", "--workers", "2"], /--workers: the threads here run no cells of a --queue/],
    [["--queue", "redis://h", "--patience-seconds", "0"], /--patience-seconds: 0 is not allowed/],
  ])("refuses %j", async (words, message) => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "grid.json"), JSON.stringify(scenario));
    expect(await runInProcess(["sweep", "grid.json", ...words], folder)).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(message),
    });
  });
});
