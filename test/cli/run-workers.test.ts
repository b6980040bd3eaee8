import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { npyBytes } from "../support/npy.ts";
import { listFiles, moesim, readCsv, startMoesim, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const deterministicFiles = ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"];
const small = { name: "small", seed: 3, steps: 24, tokens: 64, experts: 8, topK: 2, ranks: 2, loadSamples: 5 };
const routers = [
  { kind: "topk" },
  { kind: "alf-lb", updateRate: 0.01 },
  { kind: "ssr", label: 'a "name", quoted', scores: "sigmoid" },
  { kind: "expert-choice" },
];

function writeScenario(fields: object): string {
  const file = path.join(temporaryFolder(), "scenario.json");
  writeFileSync(file, JSON.stringify({ ...small, stream: { kind: "clusters" }, routers, ...fields }));
  return file;
}

async function run(scenario: string, workers: number): Promise<string> {
  const folder = temporaryFolder();
  // Threads need the program itself.
  const program = workers > 1 ? moesim : runInProcess;
  const { code, stderr } = await program(["run", scenario, "--quiet", "--workers", String(workers), "--out", folder]);
  expect(code, stderr).toBe(0);
  return folder;
}

describe("moesim run on several threads", () => {
  it.each([
    ["an exact optimum on every step", { regret: { every: 1 } }],
    ["an optimum within a gap", { regret: { every: 2, gap: 1e-3 } }],
    ["the optimum that base finds", { regret: { every: 3 }, routers: [...routers, { kind: "base" }] }],
    ["no regret", { regret: { every: 0 } }],
    ["a stream for each router", { regret: { every: 6 }, stream: { kind: "adversarial" } }],
    ["a stream that moves", { regret: { every: 5 }, stream: { kind: "drift", mode: "shift", steps: [3, 11] } }],
  ])("writes the same bytes with %s, whatever the threads", async (_, fields) => {
    const scenario = writeScenario(fields);
    const [one, ...more] = [await run(scenario, 1), await run(scenario, 2), await run(scenario, 5)];
    for (const file of deterministicFiles) {
      for (const folder of more) {
        expect(readFileSync(path.join(folder, file), "utf8")).toBe(readFileSync(path.join(one, file), "utf8"));
      }
    }
  });

  it("measures from base's own optimum what it measures from one found beside it", async () => {
    // By another path to the same optimum, whose sum may differ in the last digits.
    const regret = { every: 2 };
    const alone = readCsv(path.join(await run(writeScenario({ regret }), 1), "summary.csv"));
    const beside = readCsv(
      path.join(await run(writeScenario({ regret, routers: [...routers, { kind: "base" }] }), 1), "summary.csv"),
    );
    for (const [index, { regret_cumulative, optimum_gap_max }] of alone.entries()) {
      expect(Math.abs(Number(beside[index].regret_cumulative) - Number(regret_cumulative))).toBeLessThan(1e-12);
      expect(beside[index].optimum_gap_max).toBe(optimum_gap_max);
    }
    expect(beside.at(-1)).toMatchObject({ kind: "base", regret_cumulative: "0", optimum_gap_max: "0" });
  });

  it("stops with one message and leaves nothing behind when recorded data is bad on one of its passes", () => {
    const folder = temporaryFolder();
    const values = new Array(30 * 8 * 4).fill(0.5);
    values[29 * 32 + 5] = Number.NaN;
    writeFileSync(path.join(folder, "bad.npy"), npyBytes([30, 8, 4], values));
    const stream = { kind: "trace", path: "bad.npy" };
    const scenario = { name: "bad", topK: 1, regret: { every: 1 }, stream, routers };
    writeFileSync(path.join(folder, "scenario.json"), JSON.stringify(scenario));
    const before = listFiles(folder);
    const { code, stdout, stderr } = moesim(["run", "scenario.json", "--workers", "2", "--out", "out"], folder);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/bad\.npy.*step 29, token 1.*expert 1.*finite/);
    expect(stderr.trimEnd()).not.toContain("\n");
    expect(listFiles(folder)).toEqual(before);
  });

  it("leaves nothing behind when Ctrl-C stops it", async () => {
    const folder = temporaryFolder();
    writeFileSync(
      path.join(folder, "scenario.json"),
      JSON.stringify({ ...small, steps: 1_000_000, regret: { every: 10 }, stream: { kind: "clusters" }, routers }),
    );
    const before = listFiles(folder);
    const process = startMoesim(["run", "scenario.json", "--workers", "2", "--out", "out"], folder);
    onTestFinished(() => void process.kill("SIGKILL"));
    const isUnderWay = () => listFiles(folder).length > before.length;
    while (!isUnderWay()) await setTimeout(20);
    process.kill("SIGINT");
    expect(await once(process, "exit")).toEqual([null, "SIGINT"]);
    expect(listFiles(folder)).toEqual(before);
  });
});
