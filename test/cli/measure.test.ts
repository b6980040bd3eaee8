import path from "node:path";
import { describe, expect, it } from "vitest";
import { listFiles, moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const selections = projectPath("scenarios/traces/made-selections.npy");
const loads = projectPath("scenarios/traces/made-loads.npy");

describe("moesim measure", () => {
  it("reports of recorded choices what NumPy finds in them: MaxVio 3.8919, CV 0.7494, no idle expert", () => {
    const folder = temporaryFolder();
    const { code, stdout } = moesim(["measure", "--selections", selections, "--experts", "64", "--out", folder]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/recorded/);
    expect(listFiles(folder)).toEqual(["diagnostics.csv", "loads.csv", "run.json", "steps.csv", "summary.csv"]);
    const [row] = readCsv(path.join(folder, "summary.csv"));
    expect(row).toMatchObject({
      router: "recorded",
      kind: "recorded",
      seed: "",
      tokens: "1027",
      top_k: "6",
      steps: "1",
    });
    expect(row).toMatchObject({ score: "", churn: "", regret_mean: "", idle_fraction_max: "0", dead_experts: "0" });
    expect(Number(row.max_vio_global)).toBeCloseTo(3.8919182083739043, 12);
    expect(Number(row.load_cv)).toBeCloseTo(0.7493705721594568, 12);
    const pairs = readCsv(path.join(folder, "loads.csv")).reduce((sum, { load }) => sum + Number(load), 0);
    expect(pairs).toBe(6162);
  });

  it("cuts choices into batches, the last one shorter", async () => {
    const folder = temporaryFolder();
    await runInProcess([
      "measure",
      "--selections",
      selections,
      "--experts",
      "64",
      "--batch-tokens",
      "1000",
      "--ranks",
      "8",
      "--out",
      folder,
    ]);
    const steps = readCsv(path.join(folder, "steps.csv"));
    expect(steps).toHaveLength(2);
    for (const { step_time } of steps) expect(Number(step_time)).toBeGreaterThanOrEqual(1);
    const loads = readCsv(path.join(folder, "loads.csv")).filter(({ step }) => step === "1");
    expect(loads.reduce((sum, { load }) => sum + Number(load), 0)).toBe(27 * 6);
  });

  it("reports counts, a layer where a step stands", async () => {
    const folder = temporaryFolder();
    const { code } = await runInProcess([
      "measure",
      "--loads",
      loads,
      "--experts",
      "8",
      "--ranks",
      "4",
      "--out",
      folder,
    ]);
    expect(code).toBe(0);
    const [row] = readCsv(path.join(folder, "summary.csv"));
    expect(row).toMatchObject({ steps: "32", tokens: "", top_k: "", experts: "8" });
    const written = readCsv(path.join(folder, "loads.csv"));
    expect(written).toHaveLength(32 * 8);
    const first = written.slice(0, 8).map(({ load }) => Number(load));
    const mean = first.reduce((sum, load) => sum + load) / 8;
    const [step] = readCsv(path.join(folder, "steps.csv"));
    expect(Number(step.max_vio)).toBeCloseTo(Math.max(...first) / mean - 1, 12);
    const dropped = first.reduce((sum, load) => sum + Math.max(0, load - Math.ceil(mean)), 0) / (8 * mean);
    expect(Number(step.dropped_fraction)).toBeCloseTo(dropped, 12);
  });

  it.each([
    [["--experts", "64"], /--selections or --loads/],
    [["--selections", selections], /experts/],
    [["--selections", selections, "--loads", loads, "--experts", "64"], /mutually exclusive/],
    [["--selections", selections, "--experts", "32"], /token \d+, slot \d+: \d+ is not an expert/],
    [["--loads", loads, "--experts", "9"], /8 columns/],
    [["--loads", loads, "--experts", "1000000000"], /an integer from 1 to 65536/],
    [["--loads", loads, "--experts", "8", "--ranks", "3"], /3 does not divide/],
    [["--loads", loads, "--experts", "8", "--batch-tokens", "3"], /batch-tokens/],
    [["--loads", projectPath("scenarios/traces/collapse.npy"), "--experts", "16"], /floats/],
  ])("refuses %j and writes nothing", async (words, message) => {
    const folder = temporaryFolder();
    const { code, stderr } = await runInProcess(["measure", ...words], folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(listFiles(folder)).toEqual([]);
  });
});
