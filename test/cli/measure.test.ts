import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { npyBytes, npyHeader } from "../core/formats/recorded-files.ts";
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

  it("counts padding, rows of −1 or what a mask marks, nowhere", async () => {
    const folder = temporaryFolder();
    // A first row of 0, 1 would be a header.
    const tokens = Array.from({ length: 8 }, (_, token) => `${(token + 3) % 8},${(token + 4) % 8}`);
    writeFileSync(path.join(folder, "unpadded.csv"), `${tokens.join("\n")}\n`);
    writeFileSync(path.join(folder, "padded.csv"), `${[...tokens, ...tokens.map(() => "-1,-1")].join("\n")}\n`);
    writeFileSync(path.join(folder, "filled.csv"), `${[...tokens, ...tokens.map(() => "0,0")].join("\n")}\n`);
    writeFileSync(path.join(folder, "mask.csv"), `${[...tokens.map(() => 0), ...tokens.map(() => 1)].join("\n")}\n`);
    const rows = [];
    for (const [name, ...mask] of [["unpadded"], ["padded"], ["filled", "--padding-mask", "mask.csv"]]) {
      const words = [
        "measure",
        "--selections",
        `${name}.csv`,
        "--experts",
        "8",
        "--ranks",
        "2",
        "--out",
        name,
        ...mask,
      ];
      const { code, stderr } = await runInProcess(words, folder);
      expect(code, stderr).toBe(0);
      const [{ scenario, ...row }] = readCsv(path.join(folder, name, "summary.csv"));
      rows.push(row);
    }
    expect(rows[0]).toMatchObject({
      tokens: "8",
      max_vio_global: "0",
      rank_max_vio: "0",
      step_time_mean: "1",
      dropped_fraction: "0",
    });
    expect(rows[1]).toEqual(rows[0]);
    expect(rows[2]).toEqual(rows[0]);
    const { code, stderr } = await runInProcess(
      ["measure", "--loads", loads, "--experts", "8", "--padding-mask", "mask.csv"],
      folder,
    );
    expect([code, stderr]).toEqual([2, expect.stringMatching(/--padding-mask: .* holds loads, which have no tokens/)]);
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

  it("reports counts as steps", async () => {
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

  it("measures layers apart, and says in no mean which are absent", async () => {
    // Two steps, three layers, four experts: a dense layer, one collapsed, one balanced; the third step is a place of a ring
    // buffer that was not filled.
    const collapsed = [8, 0, 0, 0];
    const [dense, balanced] = [0, 2].map((count) => Array(4).fill(count));
    const counts = [dense, collapsed, balanced, dense, collapsed, balanced, dense, dense, dense].flat();
    const folder = temporaryFolder();
    const file = path.join(folder, "recorder.npy");
    writeFileSync(file, npyBytes(npyHeader("<i4", [3, 3, 4]), new Uint8Array(Int32Array.from(counts).buffer)));
    const { code, stdout } = await runInProcess(["measure", "recorder.npy"], folder);
    expect(code).toBe(0);
    expect(stdout).toContain("Taken for: NumPy array: loads, 3 steps × 3 layers × 4 experts");
    expect(stdout).toContain("Layer 0 has no load (dense layers, or not recorded): absent, and in no mean.");
    expect(stdout).toContain("1 step without a load: empty, and in no mean.");
    const out = path.join(folder, "results/recorder");
    const files = ["diagnostics.csv", "layers.csv", "loads.csv", "run.json", "steps.csv", "summary.csv"];
    expect(listFiles(out)).toEqual(files);
    const layers = readCsv(path.join(out, "layers.csv"));
    expect(
      layers.map(({ layer, steps, max_vio_global, dead_experts, idle_streak_max }) => [
        layer,
        steps,
        max_vio_global,
        dead_experts,
        idle_streak_max,
      ]),
    ).toEqual([
      ["1", "2", "3", "3", "2"],
      ["2", "2", "0", "0", "0"],
    ]);
    const [summary] = readCsv(path.join(out, "summary.csv"));
    expect(summary).toMatchObject({ max_vio_global: "1.5", max_vio_worst: "3", max_vio_worst_layer: "1", steps: "2" });
    const steps = readCsv(path.join(out, "steps.csv"));
    expect(steps.map(({ layer, step, max_vio }) => [layer, step, max_vio])).toEqual([
      ["1", "0", "3"],
      ["1", "1", "3"],
      ["2", "0", "0"],
      ["2", "1", "0"],
    ]);
    expect(readCsv(path.join(out, "loads.csv"))).toHaveLength(2 * 2 * 4);
  });

  it("gives scripts what it took the file for", async () => {
    const folder = temporaryFolder();
    const { stdout } = await runInProcess(["measure", "--json", loads, "--out", "out", "--skip", "30"], folder);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      name: "made-loads",
      recording: "NumPy array: loads, 2 steps × 8 experts",
      notes: [],
    });
    expect(result.routers).toMatchObject([{ router: "recorded", steps: 2, experts: 8 }]);
    expect(result.layers).toBeUndefined();
  });

  it("reads a folder and a pattern, files in the order of their numbers", async () => {
    const folder = temporaryFolder();
    for (const layer of [10, 9]) {
      const counts = Int32Array.from({ length: 8 }, (_, i) => layer * (i % 2));
      writeFileSync(
        path.join(folder, `layer_${layer}.npy`),
        npyBytes(npyHeader("<i4", [2, 4]), new Uint8Array(counts.buffer)),
      );
    }
    for (const named of [".", "layer_*.npy", path.join(folder, "layer_?*.npy")]) {
      const { code, stdout, stderr } = await runInProcess(["measure", named, "--out", "out", "--json"], folder);
      expect([code, stderr]).toEqual([0, ""]);
      expect(JSON.parse(stdout)).toMatchObject({
        recording: "2 NumPy arrays: loads, 2 steps × 2 layers × 4 experts",
        layers: [9, 10],
      });
      rmSync(path.join(folder, "out"), { recursive: true });
    }
  });

  it("measures logits by top-k, and logs by their balancedness", async () => {
    const folder = temporaryFolder();
    const logits = Float32Array.from([3.5, 2, 1, 0, 0, 1, 2, 3.5, 3.5, 2, 1, 0]);
    writeFileSync(path.join(folder, "gate.npy"), npyBytes(npyHeader("<f4", [3, 4]), new Uint8Array(logits.buffer)));
    await runInProcess(["measure", "gate.npy", "--top-k", "1", "--batch-tokens", "2"], folder);
    const written = readCsv(path.join(folder, "results/gate/loads.csv")).map(({ load }) => Number(load));
    expect(written).toEqual([1, 0, 0, 1, 1, 0, 0, 0]);
    const lines = ["INFO EPLB step: balancedness=0.25", "another line", "INFO EPLB step: balancedness=0.5"];
    writeFileSync(path.join(folder, "server.log"), lines.join("\n"));
    const { code, stdout } = await runInProcess(["measure", "server.log", "--json", "--skip", "1"], folder);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).balancedness).toEqual({ steps: 1, mean: 0.5, min: 0.5, max: 0.5 });
    expect(listFiles(path.join(folder, "results"))).toEqual(expect.not.arrayContaining(["server"]));
  });

  it.each([
    [["--experts", "64"], /no file given; name one, or use --selections or --loads/],
    [[loads, "--selections", selections, "--experts", "64"], /not both/],
    [[loads, "--axes", "steps,expert"], /"expert" is not an axis\. Did you mean "experts"/],
    [[loads, "--axes", "tokens,experts"], /axes tokens,experts do not fit loads \[32, 8\]/],
    [[loads, "--as", "logits"], /holds recorded choices or loads, not logits/],
    [[loads, "--skip", "-1"], /--skip: -1 is not allowed/],
    [[loads, "--divide", "0"], /--divide: 0 is not allowed/],
    [[loads, "--tensor", "x"], /no tensor "x"/],
    [[projectPath("scenarios/traces/collapse.npy")], /it holds logits .*; give --top-k/],
    [["nowhere/*.pt"], /nowhere\/\*\.pt: no file has a name like this/],
    [["nowhere.pt"], /nowhere\.pt: no such file/],
    [["--selections", selections], /experts/],
    [["--selections", selections, "--loads", loads, "--experts", "64"], /mutually exclusive/],
    [["--selections", selections, "--experts", "32"], /token \d+, slot \d+: \d+ is not an expert/],
    [["--loads", loads, "--experts", "9"], /8 columns/],
    [["--loads", loads, "--experts", "1000000000"], /an integer from 1 to 65536/],
    [["--loads", loads, "--experts", "8", "--ranks", "9"], /--ranks: 9 ranks for 8 experts; at most 8/],
    [["--loads", loads, "--experts", "8", "--batch-tokens", "3"], /batch-tokens/],
    [["--loads", projectPath("scenarios/traces/collapse.npy"), "--experts", "16"], /floats/],
  ])("refuses %j and writes nothing", async (words, message) => {
    const folder = temporaryFolder();
    const { code, stderr } = await runInProcess(["measure", ...words], folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(listFiles(folder)).toEqual([]);
  });

  it.each<[string, Buffer, string]>([
    [
      "disabled",
      float64([2, 3], Array(6).fill(Number.NEGATIVE_INFINITY)),
      "all its experts disabled by logits of -inf",
    ],
    ["huge", float64([1, 3], [0.5, 1e200, 1]), "expert 1 is infinite, or too large for float32; logits must be finite"],
    ["nan", float64([1, 3], [0.5, Number.NaN, 1]), "expert 1 is NaN; logits must be finite"],
    ["lone", float64([2, 1], [0.5, 1.5]), "2 experts per token, but it has only 1 expert\n"],
    ["flat", float64([3], [0.5, 1.5, 1]), "[3] has 1 dimension; expected [tokens, experts]"],
    ["zeros", int64([4, 8], Array(32).fill(0)), "empty stream: all its loads are 0"],
  ])("says what is wrong with %s numbers", async (name, bytes, message) => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, `${name}.npy`), bytes);
    const { code, stderr } = await runInProcess(["measure", `${name}.npy`, "--top-k", "2"], folder);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it("takes the name of results from the first file that it reads, not from one that lies beside", async () => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "a_rank0.csv"), "4,4,5\n4,4,6\n");
    writeFileSync(path.join(folder, "b_rank0.npy"), int64([4, 3], [7000, 4, 5, 9000, 4, 4, 9000, 1, 2, 3, 3, 4000]));
    const { code, stdout, stderr } = await runInProcess(["measure", "*rank0*"], folder);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^b_rank0: 4 recorded steps, 3 experts/);
  });
});

function float64(shape: number[], values: number[]): Buffer {
  return npyBytes(npyHeader("<f8", shape), new Uint8Array(Float64Array.from(values).buffer));
}

function int64(shape: number[], values: number[]): Buffer {
  return npyBytes(npyHeader("<i8", shape), new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer));
}
