import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { npyBytes } from "../support/npy.ts";
import { listFiles, type ProgramResult, projectPath, startMoesim, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const deterministicFiles = ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"];
const steps = 120;
const small = { name: "small", seed: 3, steps, tokens: 64, experts: 8, topK: 2, ranks: 2, loadSamples: 40 };
const routers = [
  { kind: "topk" },
  { kind: "alf-lb", updateRate: 0.01 },
  { kind: "ssr" },
  { kind: "noisy-topk" },
  { kind: "random" },
  { kind: "base", scores: "sigmoid" },
];
const text = { kind: "training", task: "text", path: projectPath("scenarios/texts/alice.txt") };
const shift = { kind: "drift", mode: "shift", steps: [30, 100] };

/** A fresh folder with scenario.json. */
function folderOf(fields: object): string {
  const folder = temporaryFolder();
  const scenario = { ...small, regret: { every: 3 }, stream: { kind: "clusters" }, routers, ...fields };
  writeFileSync(path.join(folder, "scenario.json"), JSON.stringify(scenario));
  return folder;
}

/** Runs the scenario of `folder` to its end, into `out` there. */
function run(folder: string, out: string, ...words: string[]): Promise<ProgramResult> {
  return runInProcess([
    "run",
    path.join(folder, "scenario.json"),
    "--quiet",
    "--out",
    path.join(folder, out),
    ...words,
  ]);
}

const keeping = ["run", "scenario.json", "--out", "out", "--checkpoint-every", "5"];

/** The folder in which the files of out are staged: inside it, or beside it while there is no such folder. */
function stagingOf(folder: string): string {
  return path.join(folder, existsSync(path.join(folder, "out")) ? "out/.moesim" : ".out.moesim");
}

/** The files of out's latest checkpoint for its parts, with when they were written; empty if there is none. */
function partsOf(folder: string): Map<string, number> {
  const checkpoint = path.join(stagingOf(folder), "current/checkpoint");
  try {
    return new Map(
      readdirSync(checkpoint)
        .filter((file) => file.endsWith(".part"))
        .map((file) => [file, statSync(path.join(checkpoint, file)).mtimeMs]),
    );
  } catch {
    // Read while the program makes folders, or renames them.
    return new Map();
  }
}

/** Starts a run in `folder` and stops it at some moment after it has written `writes` checkpoints. */
async function stopped(folder: string, words: readonly string[], writes: number, signal: NodeJS.Signals = "SIGKILL") {
  const process = startMoesim(words, folder);
  onTestFinished(() => void process.kill("SIGKILL"));
  const end = once(process, "exit");
  const before = partsOf(folder);
  let seen = new Map(before);
  for (let written = 0; written < writes; await setTimeout(2)) {
    if (process.exitCode !== null) throw new Error("ended before it could be stopped");
    const now = partsOf(folder);
    for (const [file, time] of now) if (seen.get(file) !== time) written += 1;
    if (now.size > 0) seen = now;
  }
  await setTimeout(20 * Math.random());
  process.kill(signal);
  expect(await end).toEqual([null, signal]);
  expect(partsOf(folder).size).toBeGreaterThan(0);
}

function expectSameBytes(folder: string, results: string, expected: string): void {
  for (const file of deterministicFiles) {
    expect(readFileSync(path.join(folder, results, file), "utf8"), file).toBe(
      readFileSync(path.join(folder, expected, file), "utf8"),
    );
  }
}

describe("moesim run --checkpoint-every, killed again and again and resumed,", () => {
  it.each([
    [
      "a stream that is gone through anew, dropped pairs and the optimum that base finds",
      { capacity: "drop" },
      [1, 2, 1],
    ],
    ["a stream for each router", { stream: { kind: "adversarial" } }, [2, 1]],
    ["optima that start from one another", { stream: shift, regret: { every: 2, gap: 1e-3 } }, [2, 1]],
    [
      "a gate that learns, and the clusters it learns from",
      { stream: { kind: "training", width: 8, hidden: 8, shift: [20] }, routers: routers.slice(0, 3) },
      [1, 2],
    ],
    [
      "a gate that learns from a text",
      {
        stream: { ...text, width: 8, hidden: 8, embedding: 4 },
        capacity: "drop",
        routers: routers.slice(2, 4),
      },
      [2],
    ],
    ["several layers", { stream: { kind: "clusters", layers: 3 }, routers: routers.slice(0, 4) }, [1, 2]],
    ["recorded logits", { stream: { kind: "trace", path: "logits.npy", batchTokens: 64 }, experts: 8 }, [1, 2]],
  ])("comes to the same bytes as a run that nothing stopped, with %s", async (_, fields, workers) => {
    const folder = folderOf(fields);
    const tokens = (steps - 1) * 64 + 40;
    const logits = Float32Array.from({ length: tokens * 8 }, (_, i) => 2 * Math.sin(i * i));
    writeFileSync(path.join(folder, "logits.npy"), npyBytes([tokens, 8], logits));
    expect((await run(folder, "whole")).code).toBe(0);

    for (const count of workers) await stopped(folder, [...keeping, "--resume", "--workers", `${count}`], 3);
    const { code, stderr } = await run(folder, "out", "--resume");
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain("no checkpoint");
    expectSameBytes(folder, "out", "whole");
    const layersFiles = existsSync(path.join(folder, "whole/layers.csv")) ? ["layers.csv"] : [];
    expect(listFiles(path.join(folder, "out"))).toEqual(
      [...deterministicFiles, ...layersFiles, "run.json", "timing.csv"].sort(),
    );
    for (const file of layersFiles) {
      const [resumed, whole] = ["out", "whole"].map((results) =>
        readFileSync(path.join(folder, results, file), "utf8"),
      );
      expect(resumed).toBe(whole);
    }
  });
});

describe("a checkpoint", () => {
  it("stays when Ctrl-C stops the run, beside earlier results that are as they were", async () => {
    const folder = folderOf({ regret: { every: 0 } });
    await run(folder, "out", "--set", "steps=2");
    const earlier = readFileSync(path.join(folder, "out/summary.csv"), "utf8");
    await stopped(folder, [...keeping, "--workers", "2"], 1, "SIGINT");
    expect(readFileSync(path.join(folder, "out/summary.csv"), "utf8")).toBe(earlier);
    // Neither stands in the way of what reads the results, nor goes with it.
    const out = path.join(folder, "out");
    for (const words of [
      ["report", out],
      ["compare", out, out],
      ["check", out, "--baseline", out],
    ]) {
      expect((await runInProcess(words)).code).toBe(0);
    }
    expect((await run(folder, "out", "--resume")).stderr).not.toContain("no checkpoint");
    await run(folder, "whole");
    expectSameBytes(folder, "out", "whole");
    expect(JSON.parse(readFileSync(path.join(folder, "out/run.json"), "utf8")).scenario.steps).toBe(steps);
  });

  it("goes away when a run without --resume has one of its own, or ends", async () => {
    const folder = folderOf({ regret: { every: 0 } });
    const other = ["--set", "tokens=65"];
    await stopped(folder, keeping, 1);
    await stopped(folder, [...keeping, ...other], 2);
    expect(existsSync(path.join(stagingOf(folder), "earlier"))).toBe(false);
    expect((await run(folder, "out", "--resume")).stderr).toContain("tokens (65 there, 64 here)");
    expect((await run(folder, "out", "--set", "steps=2")).code).toBe(0);
    expect(listFiles(folder).filter((name) => name.includes(".moesim"))).toEqual([]);
  });

  it("is not needed by --resume, which says so", async () => {
    const folder = folderOf({ steps: 3 });
    const { code, stderr } = await run(folder, "out", "--resume");
    expect(code).toBe(0);
    expect(stderr).toContain("out: no checkpoint to resume; starting from the beginning\n");
  });

  it("is refused, and stays, where it is of another run or damaged", async () => {
    const folder = folderOf({ stream: { kind: "trace", path: "logits.npy" }, regret: { every: 0 }, tokens: undefined });
    const recorded = path.join(folder, "logits.npy");
    const logits = Float32Array.from({ length: steps * 64 * 8 }, (_, i) => Math.sin(i * i));
    writeFileSync(recorded, npyBytes([steps, 64, 8], logits));
    utimesSync(recorded, 1000, 1000);
    await stopped(folder, keeping, 1);
    const refused = async (...words: string[]): Promise<string> => {
      const before = Array.from(partsOf(folder));
      const { code, stderr } = await run(folder, "out", "--resume", ...words);
      expect(code).toBe(2);
      expect(Array.from(partsOf(folder))).toEqual(before);
      return stderr;
    };
    expect(await refused("--seed", "4")).toMatch(
      /^moesim: .*out: the checkpoint .* another run; what differs: seed \(3 there, 4 here\)/,
    );
    expect(await refused("--set", "routers.topk.scores=sigmoid", "topK=1")).toContain(
      "what differs: topK (2 there, 1 here), routers.",
    );
    utimesSync(recorded, 2000, 2000);
    expect(await refused()).toContain("what differs: the file that the stream reads.");
    utimesSync(recorded, 1000, 1000);

    const cut = (bytes: Buffer) => bytes.subarray(0, 8);
    const turned = (bytes: Buffer) => Buffer.from(bytes.map((byte, at) => (at === 8 ? byte ^ 1 : byte)));
    for (const name of ["run", "0.part"]) {
      for (const damaged of [cut, turned]) {
        const file = path.join(stagingOf(folder), "current/checkpoint", name);
        const bytes = readFileSync(file);
        writeFileSync(file, damaged(bytes));
        expect(await refused()).toMatch(
          /^moesim: .*checkpoint\/[\w.]+: is damaged; run without --resume to start from the beginning/,
        );
        expect(readFileSync(file)).toEqual(damaged(bytes));
        writeFileSync(file, bytes);
      }
    }
    expect((await run(folder, "out", "--resume")).code).toBe(0);
    await run(folder, "whole");
    expectSameBytes(folder, "out", "whole");
  });

  it("is left to the program that is still writing it", async () => {
    const folder = folderOf({ steps: 1_000_000, regret: { every: 0 } });
    const other = startMoesim(keeping, folder);
    onTestFinished(() => void other.kill("SIGKILL"));
    while (partsOf(folder).size === 0) await setTimeout(20);
    const { code, stderr } = await run(folder, "out", "--resume");
    expect(code).toBe(2);
    expect(stderr).toContain(`process ${other.pid} appears to be still running and writing there`);
  });

  it.each(["0", "2.5", "-1"])("is not written after every %s steps", async (every) => {
    const { code, stderr } = await run(folderOf({}), "out", "--checkpoint-every", every);
    expect(code).toBe(2);
    expect(stderr).toContain("--checkpoint-every");
  });
});
