import { cpSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const folder = temporaryFolder();
const columns = ["moves", "balancedness", "ranks_per_token", "nodes_per_token"] as const;
type Column = (typeof columns)[number];

/** Hot sets change every 6 steps: placements fitted to the last 2 hold for a while, if they are fitted often. */
const scenario = {
  name: "placed",
  steps: 24,
  tokens: 64,
  experts: 8,
  topK: 2,
  regret: { every: 0 },
  placement: { gpus: 4, nodes: 2, slots: 12, window: 2 },
  stream: { kind: "skewed", target: { maxVio: 1 }, correlated: true, hotSets: 2, period: 6 },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
};

beforeAll(async () => {
  writeFileSync(path.join(folder, "placed.json"), JSON.stringify(scenario));
  for (const interval of [2, 12]) {
    const words = ["placed.json", "--set", `placement.interval=${interval}`, "--out", `every-${interval}`, "--quiet"];
    expect(await runInProcess(["run", ...words], folder)).toMatchObject({ code: 0, stderr: "" });
  }
});

function summary(out: string, router = "topk"): Record<Column, number> {
  const row = readCsv(path.join(folder, out, "summary.csv")).find((one) => one.router === router)!;
  return Object.fromEntries(columns.map((column) => [column, Number(row[column])])) as Record<Column, number>;
}

/** A copy of a run with columns of summary.csv or steps.csv multiplied by factors for plain top-k. */
function scaled(out: string, file: string, factors: Readonly<Record<string, number>>): string {
  const copy = temporaryFolder();
  cpSync(path.join(folder, out), copy, { recursive: true });
  const [header, ...rows] = readFileSync(path.join(copy, file), "utf8").split("\n");
  const names = header.split(",");
  const changed = rows.map((row) => {
    const cells = row.split(",");
    if (cells[1] !== "topk") return row;
    return cells.map((cell, i) => (names[i] in factors ? String(Number(cell) * factors[names[i]]) : cell)).join(",");
  });
  writeFileSync(path.join(copy, file), [header, ...changed].join("\n"));
  return copy;
}

describe("the columns of placements", () => {
  it("are in summary.csv as steps.csv has them", () => {
    const steps = readCsv(path.join(folder, "every-2", "steps.csv")).filter(({ router }) => router === "topk");
    const mean = (column: Column) => steps.reduce((sum, row) => sum + Number(row[column]), 0) / steps.length;
    const { moves, ...means } = summary("every-2");
    expect(moves).toBe(24 * mean("moves"));
    for (const [column, value] of Object.entries(means)) expect(value, column).toBeCloseTo(mean(column as Column), 12);
  });

  it("go with gpus.csv: the loads of GPUs on the steps after the first fit, before and after", async () => {
    const words = ["run", "placed.json", "--set", "placement.interval=12", "loadSamples=24", "--out", "all", "--quiet"];
    expect(await runInProcess(words, folder)).toMatchObject({ code: 0, stderr: "" });
    const rows = readCsv(path.join(folder, "all", "gpus.csv")).filter(({ router }) => router === "topk");
    expect(rows.map(({ gpu }) => gpu)).toEqual(["0", "1", "2", "3"]);
    const sums = [0, 0, 0, 0];
    for (const { router, step, expert, load } of readCsv(path.join(folder, "all", "loads.csv"))) {
      if (router === "topk" && Number(step) >= 12) sums[Math.floor(Number(expert) / 2)] += Number(load);
    }
    expect(rows.map((row) => Number(row.unplaced_load))).toEqual(sums);
    const placed = rows.map((row) => Number(row.load));
    expect(placed.reduce((sum, load) => sum + load)).toBeCloseTo(12 * 64 * 2, 9);
    expect(Math.max(...placed)).toBeLessThan(Math.max(...sums));
  });

  it("are drawn by report and by compare: the GPUs before and after", async () => {
    const report = await runInProcess(["report", "every-2", "--out", "placed.html"], folder);
    expect(report.stdout).toMatch(
      /^Loads of the GPUs before and after placement: In the mean over 2 rows, the fullest GPU/m,
    );
    expect(
      (await runInProcess(["compare", "every-2", "every-12", "--html", "both.html", "--quiet"], folder)).code,
    ).toBe(0);
    const page = readFileSync(path.join(folder, "both.html"), "utf8");
    expect(page).toContain("Loads of the GPUs before and after placement");
    expect(page).toMatch(/times placed in every-2; [\d.]+ placed in every-12\./);
  });

  it("are compared, each with its better direction", async () => {
    const words = ["compare", "every-12", "every-2", "--metric", ...columns, "--json"];
    const { metrics } = JSON.parse((await runInProcess(words, folder)).stdout);
    expect(metrics.map(({ column }: { column: string }) => column)).toEqual(columns);
    const [seldom, often] = [summary("every-12"), summary("every-2")];
    for (const { column, rows } of metrics as { column: Column; rows: { router: string; cells: never[] }[] }[]) {
      const [, now] = rows.find(({ router }) => router === "topk")!.cells as {
        mean: number;
        change: { difference: number };
      }[];
      expect(now.mean, column).toBe(often[column]);
      expect(now.change.difference, column).toBeCloseTo(often[column] - seldom[column], 12);
    }
    expect(often.moves).toBeGreaterThan(seldom.moves);
    expect(often.balancedness).toBeGreaterThan(seldom.balancedness);
    const { stdout } = await runInProcess(["compare", "every-12", "every-2", "--metric", ...columns], folder);
    expect(stdout.match(/^\S.*is better\)$/gm)).toEqual([
      "moved experts (moves, lower is better)",
      "balancedness, mean (balancedness, higher is better)",
      "ranks per token (ranks_per_token, lower is better)",
      "nodes per token (nodes_per_token, lower is better)",
    ]);
  });

  const worse: Record<Column, number> = { moves: 1.5, balancedness: 0.9, ranks_per_token: 1.1, nodes_per_token: 1.1 };
  const better = Object.fromEntries(Object.entries(worse).map(([column, factor]) => [column, 1 / factor]));

  it("fail a check if those of the run get worse, or if those of a step differ at all", async () => {
    const check = (results: string, ...words: string[]) =>
      runInProcess(["check", results, "--baseline", path.join(folder, "every-2"), "--json", ...words]);
    const failed = await check(scaled("every-2", "summary.csv", worse));
    expect(failed).toMatchObject({ code: 1, stderr: "" });
    for (const column of columns) expect(failed.stdout).toContain(`"${column}"`);
    expect((await check(scaled("every-2", "summary.csv", better))).code).toBe(0);
    const allowed = columns.map((column) => `${column}=60%`);
    expect((await check(scaled("every-2", "summary.csv", worse), "--metric", ...allowed)).code).toBe(0);
    const differs = await check(scaled("every-2", "steps.csv", better), "--fail-on", "different");
    expect(differs.code).toBe(1);
    for (const column of columns) expect(differs.stdout).toContain(`"${column}"`);
  });

  it("can have limits in a gate, which need no baseline", async () => {
    const { moves, balancedness } = summary("every-2");
    const gate = async (limits: object[]) => {
      const file = path.join(temporaryFolder(), "gate.json");
      writeFileSync(file, JSON.stringify(limits));
      return runInProcess(["check", path.join(folder, "every-2"), "--gate", file]);
    };
    const kept = [
      { metric: "moves", router: "topk", max: moves },
      { metric: "balancedness", router: "topk", min: balancedness },
      { metric: "nodes_per_token", max: 2 },
    ];
    expect((await gate(kept)).code).toBe(0);
    const broken = await gate([{ metric: "moves", router: "topk", max: moves - 1 }, ...kept.slice(1)]);
    expect(broken.code).toBe(1);
    expect(broken.stdout).toContain("moves");
  });
});
