import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { formatVariantTable, variantObject } from "../../../src/cli/text/results-table.ts";
import { metricColumns } from "../../../src/core/metrics/catalogue.ts";
import { intervalTable, metricOf, variantsOf } from "../../../src/core/results/variants.ts";
import { openResults } from "../../../src/node/files/read-results.ts";
import { writeTable } from "../../../src/node/files/write-results.ts";
import { madeSweep } from "../../support/made-sweep.ts";
import { readCsv, temporaryFolder } from "../../support/program.ts";
import { runInProcess } from "../../support/run-in-process.ts";
import { madeRecords, trainedRun, trainedSweep } from "../../support/trained-run.ts";

const summaryColumns = [
  "task_loss",
  "task_loss_mean",
  "gate_gradient_norm_mean",
  "routing_entropy",
  "specialisation",
  "expert_similarity",
];
const stepColumns = ["task_loss", "gate_gradient_norm", "routing_entropy", "specialisation", "expert_similarity"];

let run: string;
let sweep: string;
beforeAll(async () => {
  run = await trainedRun();
  sweep = await trainedSweep();
});

function headerOf(folder: string, file: string): string[] {
  return readFileSync(path.join(folder, file), "utf8").split("\n")[0].split(",");
}

/** A copy of the run whose `file` lacks a column. */
async function without(column: string, file: string): Promise<string> {
  const folder = await trainedRun();
  const position = headerOf(folder, file).indexOf(column);
  const rows = readFileSync(path.join(folder, file), "utf8").trimEnd().split("\n");
  const shorter = rows.map((row) => row.split(",").toSpliced(position, 1).join(","));
  writeFileSync(path.join(folder, file), `${shorter.join("\n")}\n`);
  return folder;
}

/** Those of `columns` from `first` to the last of `others`, which stand in a file in that order. */
function columnsFrom(first: string, others: readonly string[], columns: readonly string[]): readonly string[] {
  return columns.slice(columns.indexOf(first), columns.indexOf(first) + others.length + 1);
}

describe("the files of a run whose stream trains", () => {
  it("have their columns of training behind those of every run", () => {
    const summaryHeader = headerOf(run, "summary.csv");
    expect(columnsFrom("regret_se", summaryColumns, summaryHeader)).toEqual(["regret_se", ...summaryColumns]);
    expect(headerOf(run, "steps.csv").slice(-6)).toEqual(["marginal_error", ...stepColumns]);
    const times = ["train_ms_mean", "train_ms_median", "train_ms_p95"];
    expect(headerOf(run, "timing.csv").slice(-4)).toEqual(["tokens_per_second", ...times]);
  });

  it("have on each step what it came to, digit for digit", () => {
    const made = { router: "topk", loss: 0.2, skew: 0.8 };
    const records = Array.from(madeRecords(made, { routers: [], steps: 30, seed: 1, hasClusters: true }));
    const rows = readCsv(path.join(run, "steps.csv")).filter(({ router }) => router === "topk");
    expect(rows).toHaveLength(30);
    for (const [step, row] of rows.entries()) {
      const { taskLoss, gateGradientNorm, expertSimilarity } = records[step].training!;
      const { routingEntropy, specialisation } = records[step].metrics;
      const expected = [taskLoss, gateGradientNorm, routingEntropy, specialisation, expertSimilarity];
      expect(stepColumns.map((column) => row[column])).toEqual(expected.map(String));
    }
  });

  it("have the times of learning, those of routing beside them", () => {
    // The milliseconds 0 … 29.
    const [row] = readCsv(path.join(run, "timing.csv"));
    expect(row).toMatchObject({ route_ms_mean: "1", train_ms_mean: "14.5", train_ms_median: "14.5" });
    expect(Number(row.train_ms_p95)).toBeCloseTo(0.95 * 29, 12);
  });

  it("have an empty specialisation where clusters are not known", async () => {
    const folder = await trainedRun({ hasClusters: false });
    for (const file of ["summary.csv", "steps.csv"]) {
      for (const row of readCsv(path.join(folder, file))) {
        expect(row.specialisation).toBe("");
        expect(Number(row.task_loss)).toBeGreaterThan(0);
      }
    }
  });
});

describe("check, of runs whose streams train,", () => {
  const check = (folder: string, baseline: string, ...options: string[]) =>
    runInProcess(["check", folder, "--baseline", baseline, "--fail-on", "different", ...options]);

  it("finds a run equal to itself, and sees a task loss that is off", async () => {
    expect((await check(run, run)).code).toBe(0);
    const other = await trainedRun();
    for (const file of ["summary.csv", "steps.csv"]) {
      const [header, first, ...rest] = readFileSync(path.join(other, file), "utf8").split("\n");
      const cells = first.split(",").with(header.split(",").indexOf("task_loss"), "7.5");
      writeFileSync(path.join(other, file), [header, cells.join(","), ...rest].join("\n"));
    }
    const { code, stdout } = await check(other, run, "--json");
    expect(code).toBe(1);
    const finding = { verdict: "worse", kind: "value", router: "topk", column: "task_loss", now: 7.5 };
    expect(JSON.parse(stdout)).toMatchObject({ counts: { worse: 2 }, findings: [finding, finding] });
    expect((await check(run, run, "--metric", "task_loss=0.1", "specialisation=0")).code).toBe(0);
  });

  it.each(["summary.csv", "steps.csv"])("calls a missing column of %s by its name", async (file) => {
    const lacking = await without("expert_similarity", file);
    const { code, stdout } = await check(lacking, run);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^ missing .*\(column\)/m);
    expect(stdout).toContain("expert_similarity");
    // The other way round the column is new, which is no difference.
    const note = await check(run, lacking);
    expect(note.code).toBe(0);
    expect(note.stdout).toContain(`${file}: not in the baseline, and so not compared: expert_similarity`);
  });
});

describe("a sweep whose cells train", () => {
  it("has intervals of the columns of training, and parameters behind the columns alone", () => {
    const results = openResults(sweep);
    expect(results.parameters).toEqual(["stream.dimension"]);
    const folder = temporaryFolder();
    writeTable(folder, intervalTable(results));
    const rows = readCsv(path.join(folder, "intervals.csv"));
    const columns = summaryColumns.flatMap((column) => [column, `${column}_ci95`]);
    expect(columnsFrom(columns[0], columns.slice(1), Object.keys(rows[0]))).toEqual(columns);
    expect(rows).toHaveLength(4);
    const [variant] = variantsOf(results);
    const interval = metricOf(results, variant, "task_loss")!;
    expect(interval.count).toBe(3);
    expect(rows[0]).toMatchObject({
      router: "topk",
      seeds: "3",
      task_loss: String(interval.mean),
      task_loss_ci95: String(interval.halfWidth),
    });
    expect(variantObject(results, variant, {}, null)).toMatchObject({
      task_loss: interval.mean,
      task_loss_ci95: interval.halfWidth,
    });
  });

  it("has the task loss in its table, and no trace of it where nothing trains", () => {
    const results = openResults(sweep);
    const variants = variantsOf(results);
    const table = formatVariantTable(results, variants, [1, 1, 1, 1], { width: 60 });
    expect(table.text.split("\n")[0]).toMatch(/^ router +dimension +task +MaxVio/);
    const plain = madeSweep([], [{ seed: 1, values: [], rows: [{ router: "a", score: 1 }] }]);
    expect(formatVariantTable(plain, variantsOf(plain), [1]).text).not.toContain("task");
    expect(variantObject(plain, variantsOf(plain)[0], {}, null)).not.toHaveProperty("task_loss");
  });
});

describe("compare", () => {
  it("tells which of two trainings lost less, and names the columns of training among those to choose from", async () => {
    const better = await trainedRun({ routers: [{ router: "topk", loss: 0.02, skew: 0.8 }] });
    const { stdout } = await runInProcess(["compare", run, better, "--json"]);
    const metrics: { column: string; rows: { cells: unknown[] }[] }[] = JSON.parse(stdout).metrics;
    const loss = metrics.find(({ column }) => column === "task_loss")!;
    expect(loss.rows[0].cells[1]).toMatchObject({ change: { direction: "better" } });
    expect(metrics.map(({ column }) => column)).toContain("specialisation");
    const chosen = await runInProcess(["compare", run, better, "--json", "--metric", ...summaryColumns]);
    expect(JSON.parse(chosen.stdout).metrics.map(({ column }: { column: string }) => column)).toEqual(summaryColumns);
  });
});

describe("report", () => {
  it("writes a page with the pictures of training and what its columns mean", async () => {
    const out = path.join(temporaryFolder(), "report.html");
    const { code, stdout } = await runInProcess(["report", sweep, "--out", out, "--json"]);
    expect(code).toBe(0);
    const ids = JSON.parse(stdout).pictures.map(({ id }: { id: string }) => id);
    expect(ids).toEqual(expect.arrayContaining(["task-loss", "task-loss-balance"]));
    expect(existsSync(out)).toBe(true);
    const page = readFileSync(out, "utf8");
    for (const { label } of metricColumns.filter(({ column }) => summaryColumns.includes(column))) {
      expect(page).toContain(`${label}: `);
    }
  });
});
