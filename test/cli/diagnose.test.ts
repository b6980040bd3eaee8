import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { listFiles, moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const collapse = projectPath("scenarios/traces/collapse.npy");
const selections = projectPath("scenarios/traces/made-selections.npy");
const shared = (...parts: string[]) => projectPath("../shared", ...parts);

/** Loads `[steps × layers × experts]` as a CSV file of long rows: layer 1 has a hot expert, 2 is balanced, 0 is absent. */
function longLoads(): string {
  const rows = Array.from({ length: 24 }, (_, step) => [
    ...[0, 0, 0, 0].map((count, expert) => [step, 0, expert, count]),
    ...[500, 200, 50, 50].map((count, expert) => [step, 1, expert, count + step]),
    ...[200, 201, 199, 200].map((count, expert) => [step, 2, expert, count]),
  ]).flat();
  const file = path.join(temporaryFolder(), "long.csv");
  writeFileSync(file, ["step,layer,expert,count", ...rows.map((row) => row.join(","))].join("\n"));
  return file;
}

async function diagnose(...words: string[]) {
  const { code, stdout, stderr } = await runInProcess(["diagnose", ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

async function refusal(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await runInProcess(["diagnose", ...words]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  return stderr;
}

describe("moesim diagnose", () => {
  it("says in about 20 lines what is wrong and what would help", async () => {
    const lines = (await diagnose(longLoads(), "--gpus", "2")).trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(20);
    const text = lines.join("\n");
    expect(lines[0]).toMatch(/^Taken for: .*loads, 24 steps × 3 layers × 4 experts$/);
    expect(text).toContain("Loads have no logits, so no bias is fitted");
    expect(text).toContain("Leave it: 1 layer (2); placement would do: 1 layer (1).");
    expect(text).toContain("Worst, layer 1: The slowdown on 2 GPUs is");
    expect(text).toContain("Layer 0 has no load");
    expect(text).toMatch(/^ +1 .* placement would do *$/m);
    expect(text).toMatch(/^ +2 .* leave it *$/m);
    expect(text).not.toContain("B:\nbias");
  });

  it("shows the drops of part B alone, in the terminal and on the page", async () => {
    // Expert 0 has half of the pairs in part A, and a quarter in part B.
    const file = path.join(temporaryFolder(), "turning.csv");
    const rows = Array.from({ length: 24 }, (_, step) => (step < 12 ? "600,200,200,200" : "300,300,300,300"));
    writeFileSync(file, rows.join("\n"));
    const out = path.join(temporaryFolder(), "out");
    const text = await diagnose(file, "--as", "loads", "--wide", "--out", out);
    expect(text).toContain("B: dropped");
    const { layers } = JSON.parse(readFileSync(path.join(out, "diagnosis.json"), "utf8"));
    const [layer] = layers;
    // Of 1,200 pairs, 375 fit at 1.25: A drops 225 in each of half the batches.
    expect(layer.dropped[1]).toBeCloseTo(225 / 1200 / 2, 12);
    expect(layer.b.plain.dropped[1]).toBe(0);
    // 9.375 % of the whole recording is nowhere.
    expect(text).not.toContain("9.37");
    const page = readFileSync(path.join(out, "diagnosis.html"), "utf8");
    expect(page).toContain("B: at 1.25");
    expect(page).toContain("Share of the pairs on part B beyond a capacity of so many times an equal share per batch.");
    expect(page).not.toContain("9.37");
  });

  it("names the capacity that the least cost holds within", async () => {
    const out = path.join(temporaryFolder(), "out");
    const text = await diagnose(collapse, "--top-k", "2", "--capacity-factor", "1.5", "--wide", "--out", out);
    expect(text).toContain("least cost");
    expect(text).toContain("within 1.5, %");
    const page = readFileSync(path.join(out, "diagnosis.html"), "utf8");
    expect(page).toContain("least cost within capacity 1.5");
    expect(page).toContain("cost of the bias, within capacity");
  });

  it("shows the six worst layers, and sums up the others", async () => {
    const file = path.join(temporaryFolder(), "many.csv");
    const rows = Array.from({ length: 20 * 10 * 4 }, (_, i) => {
      const [step, layer, expert] = [Math.floor(i / 40), Math.floor(i / 4) % 10, i % 4];
      return [step, layer, expert, expert === 0 ? 100 * (layer + 1) : 100].join(",");
    });
    writeFileSync(file, ["step,layer,expert,count", ...rows].join("\n"));
    const text = await diagnose(file, "--gpus", "2");
    const shown = Array.from(text.matchAll(/^ +(\d) /gm), ([, layer]) => Number(layer));
    expect(shown).toEqual([9, 8, 7, 6, 5, 4]);
    expect(text).toMatch(/^4 other layers: MaxVio of a batch .* in the mean, at most .*; /m);
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(20);
  });

  it("writes a page, a table and JSON with the same figures, and nothing else", async () => {
    const out = path.join(temporaryFolder(), "out");
    const json = JSON.parse(await diagnose(collapse, "--top-k", "2", "--gpus", "4", "--out", out, "--json"));
    expect(listFiles(out)).toEqual(["diagnosis.csv", "diagnosis.html", "diagnosis.json"]);
    expect(JSON.parse(readFileSync(path.join(out, "diagnosis.json"), "utf8"))).toEqual(json);
    const [layer] = json.layers;
    const [row] = readCsv(path.join(out, "diagnosis.csv"));
    expect(row).toMatchObject({ layer: "0", verdict: layer.verdict, imbalance_of: "run", experts: "16" });
    expect(Number(row.max_vio_run)).toBe(layer.max_vio_run);
    expect(Number(row.b_slowdown_bias)).toBe(layer.b.bias.slowdown.mean);
    expect(Number(row.b_saved_replicas_half_width)).toBe(layer.saved_on_b.replicas.half_width);
    expect(Number(row.optimum_upper_bound)).toBe(layer.optimum.upper_bound);
    expect([Number(row.slowdown), Number(row.slowdown_half_width)]).toEqual([
      layer.slowdown.mean,
      layer.slowdown.half_width,
    ]);
    expect(row.reason).toBe(layer.reason);
    // One number for the slowdown everywhere: 1 is balanced.
    expect(layer.reason).toContain(`The slowdown on 4 GPUs is ${layer.slowdown.mean.toFixed(3)} ± `);
    expect(layer.placement.moves).toHaveLength(16);
    expect(layer.placement.replicas).toHaveLength(20);
    expect(json).toMatchObject({ gpus: 4, slots: 16, slots_with_replicas: 20, split: 0.5, scores: "softmax" });
    const page = readFileSync(path.join(out, "diagnosis.html"), "utf8");
    expect(page).toContain(layer.reason.replaceAll("&", "&amp;"));
    // It loads nothing from anywhere.
    expect(page).not.toMatch(/(?:src|href)="(?!#)/);
  });

  it("writes the same bytes with any number of workers, as a process", () => {
    const folder = temporaryFolder();
    const file = longLoads();
    const folders = ["1", "2"].map((workers) => {
      const out = path.join(folder, workers);
      const words = ["diagnose", file, "--gpus", "2", "--workers", workers, "--out", out, "--quiet"];
      expect(moesim(words)).toEqual({ code: 0, stdout: "", stderr: "" });
      return out;
    });
    for (const name of ["diagnosis.csv", "diagnosis.html", "diagnosis.json"]) {
      const [one, two] = folders.map((out) => readFileSync(path.join(out, name), "utf8"));
      expect(two).toBe(one);
    }
  });

  it("finds the columns for the terminal, and says that some did not fit", async () => {
    const { isTTY, columns } = process.stdout;
    try {
      Object.assign(process.stdout, { isTTY: true, columns: 80 });
      const text = await diagnose(collapse, "--top-k", "2");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those of colours
      const plain = text.replace(/\u001b\[\d+m/g, "");
      expect(Math.max(...plain.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
      expect(plain).toContain("Some columns did not fit; --wide shows them.");
    } finally {
      Object.assign(process.stdout, { isTTY, columns });
    }
  });

  it("never overwrites what it reads", async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, "diagnosis.csv");
    writeFileSync(file, "3,1\n2,2\n");
    const message = await refusal(file, "--as", "loads", "--out", folder);
    expect(message).toContain("--out and PATH name the same file");
    expect(readFileSync(file, "utf8")).toBe("3,1\n2,2\n");
  });

  it.each<[string, string[], string]>([
    ["logits without --top-k", [collapse], "give --top-k, the experts per token"],
    ["more experts per token than experts", [collapse, "--top-k", "17"], "17 experts per token"],
    ["tokens per batch of steps", [collapse, "--top-k", "2", "--batch-tokens", "8"], "already has steps; leave it out"],
    [
      "nothing to judge on",
      [selections, "--as", "selections", "--experts", "64", "--split", "1"],
      "--split: 1 is not allowed",
    ],
    ["a split that is no number", [selections, "--split", "half"], "--split"],
    ["nodes without GPUs", [selections, "--nodes", "2"], "--nodes: only together with --gpus"],
    ["no GPU", [selections, "--gpus", "0"], "--gpus: 0 is not allowed; give an integer of at least 1"],
    ["too many GPUs", [selections, "--gpus", "1000000000"], "--gpus: 1000000000 GPUs are too many; give at most 65536"],
    ["GPUs that do not divide", [selections, "--gpus", "4", "--nodes", "3"], "--nodes: 4 GPUs do not divide evenly"],
    ["a capacity of nothing", [selections, "--capacity-factor", "0"], "--capacity-factor: 0 is not allowed"],
    ["no file", ["missing.npy"], "missing.npy"],
    ["no path", [], "diagnose"],
  ])("refuses %s", async (_, words, message) => {
    expect(await refusal(...words)).toContain(message);
  });

  it("refuses an empty file with a sentence", async () => {
    const file = path.join(temporaryFolder(), "empty.npy");
    writeFileSync(file, "");
    expect(await refusal(file)).toContain("the file is empty");
  });

  it("takes a folder of rank files and a pattern", async () => {
    const folder = path.join(temporaryFolder(), "ranks");
    mkdirSync(folder);
    for (const rank of [0, 1]) {
      const lines = Array.from({ length: 20 }, (_, i) => JSON.stringify({ iteration: i, layer: 1, tpe: [9, 1, 1, 1] }));
      writeFileSync(path.join(folder, `rank${rank}.jsonl`), lines.join("\n"));
    }
    const [whole, pattern] = [
      await runInProcess(["diagnose", folder]),
      await runInProcess(["diagnose", `${folder}/*.jsonl`]),
    ];
    expect(pattern).toEqual(whole);
  });
});

describe.skipIf(!existsSync(shared("formats")))("files of real systems (skipped without ../shared/formats)", () => {
  const names = [
    ...readdirSync(shared("formats")),
    ...readdirSync(shared("formats/made-small")).map((name) => `made-small/${name}`),
  ]
    .filter((name) => !["README.md", "made-small"].includes(name))
    .map((name) => shared("formats", name));
  const traces = readdirSync(shared("traces"))
    .filter((name) => name.endsWith(".npy"))
    .map((name) => shared("traces", name));

  it("are all diagnosed, or refused with a sentence", async () => {
    const verdicts: Record<string, string> = {};
    for (const file of [...names, ...traces]) {
      const { code, stdout, stderr } = await runInProcess(["diagnose", file, "--top-k", "2", "--json"]);
      expect([0, 2], `${file}: ${stderr}`).toContain(code);
      if (code === 2) expect(stderr).toMatch(/^moesim: /);
      const { layers = [] } = code === 0 ? JSON.parse(stdout) : {};
      verdicts[path.basename(file)] = [...new Set(layers.map(({ verdict }: { verdict: string }) => verdict))].join(
        ", ",
      );
    }
    // Three steps of a dozen tokens; one step; a step in which 1.7 million pairs were counted; and 100 steps of 512 tokens.
    expect(verdicts).toMatchObject({
      "made-sglang-stat.pt": "not enough data",
      "made-long-loads.csv": "not enough data",
      "olmoe-github-expert-counts.pkl": "not enough data",
      "collapse.npy": "a bias would do",
      "made-trtllm-moe-load-balancer.yaml": "",
      "made-hostile-global.pt": "",
    });
  });

  it("have the balance that was counted from the choices of DeepSeek-V4-Flash", async () => {
    const file = shared("formats/ds4-deepseek-v4-flash-full-route.csv");
    const { layers } = JSON.parse(await diagnose(file, "--experts", "256", "--json"));
    const vios = layers.map(({ max_vio_run }: { max_vio_run: number }) => max_vio_run);
    expect(vios).toHaveLength(40);
    expect(vios.reduce((sum: number, vio: number) => sum + vio, 0) / 40).toBeCloseTo(27.061538, 6);
    const idle = layers.map(({ idle_experts }: { idle_experts: number[] }) => idle_experts.length);
    expect(idle.reduce((sum: number, count: number) => sum + count, 0)).toBe(4425);
  });
});
