import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../src/core/kernels/index.ts";
import { stepColumns } from "../../src/core/metrics/catalogue.ts";
import { routerResults } from "../../src/core/simulation/result.ts";
import { wholeParts } from "../../src/core/simulation/sharing.ts";
import { createSimulation } from "../../src/core/simulation/simulation.ts";
import { loadScenario } from "../../src/node/files/scenario-file.ts";
import { moesim, projectPath, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const clusters = { kind: "training", width: 8, hidden: 8, clusters: 4 };
const text = { kind: "training", task: "text", path: projectPath("scenarios/texts/alice.txt"), width: 8, hidden: 8 };
const small = { name: "small", seed: 3, steps: 12, tokens: 64, experts: 4, topK: 2, regret: { every: 4 } };
const routers = [
  { kind: "topk" },
  { kind: "aux-loss", coefficient: 1 },
  { kind: "alf-lb" },
  { kind: "ssr", select: { mode: "every", n: 3 } },
  { kind: "sinkhorn" },
  { kind: "scot" },
  { kind: "expert-choice" },
  { kind: "hash" },
];

/** A fresh folder with scenario.json. */
function folderOf(fields: object): string {
  const folder = temporaryFolder();
  writeFileSync(path.join(folder, "scenario.json"), JSON.stringify({ ...small, routers, ...fields }));
  return folder;
}

async function run(folder: string, out: string, ...words: string[]): Promise<string> {
  const results = path.join(folder, out);
  const scenario = path.join(folder, "scenario.json");
  // Threads need the program itself.
  const program = words.includes("--workers") ? moesim : runInProcess;
  const { code, stderr } = await program(["run", scenario, "--quiet", "--out", results, ...words]);
  expect(code, stderr).toBe(0);
  return results;
}

describe("moesim run of a training scenario", () => {
  it.each([
    ["clusters", clusters],
    ["text", text],
  ])("writes the same bytes whatever the threads, and depends on the seed, for task %s", async (_, stream) => {
    const folder = folderOf({ stream });
    const [one, three, other] = [
      await run(folder, "one", "--workers", "1"),
      await run(folder, "three", "--workers", "3"),
      await run(folder, "other", "--seed", "4"),
    ];
    for (const file of ["summary.csv", "steps.csv", "loads.csv", "diagnostics.csv"]) {
      const bytes = readFileSync(path.join(one, file), "utf8");
      expect(readFileSync(path.join(three, file), "utf8"), file).toBe(bytes);
      expect(readFileSync(path.join(other, file), "utf8"), file).not.toBe(bytes);
    }
  });

  it("starts every router from the same gate and data, which their choices then lead apart", async () => {
    const folder = folderOf({ stream: clusters });
    const steps = readCsv(path.join(await run(folder, "out"), "steps.csv"));
    const entropies = (step: string) =>
      new Set(steps.filter((row) => row.step === step).map((row) => row.routing_entropy));
    expect(entropies("0").size).toBe(1);
    expect(entropies("5").size).toBeGreaterThanOrEqual(routers.length - 1);
    for (const row of steps) {
      expect(Number(row.task_loss)).toBeGreaterThan(0);
      expect(Number(row.specialisation)).toBeLessThanOrEqual(Math.log(4));
      // A hash does not look at the gate, which then learns nothing.
      if (row.router === "hash") expect(row.gate_gradient_norm).toBe("0");
      else expect(Number(row.gate_gradient_norm)).toBeGreaterThan(0);
    }
  });

  it("lets a gate learn balance from the auxiliary loss alone", async () => {
    const folder = folderOf({
      stream: { ...clusters, learningRate: 0.03 },
      steps: 60,
      regret: { every: 0 },
      routers: [{ kind: "topk" }, { kind: "aux-loss", coefficient: 1 }],
    });
    const steps = readCsv(path.join(await run(folder, "out"), "steps.csv"));
    const maxVio = (router: string) => {
      const last = steps.filter((row) => row.router === router && Number(row.step) >= 40);
      return last.reduce((sum, row) => sum + Number(row.max_vio), 0) / last.length;
    };
    expect(maxVio("aux-loss")).toBeLessThan(maxVio("topk") / 2);
  });

  it("gives results that agree with themselves, and a page with the loss", async () => {
    const folder = folderOf({ stream: text });
    const results = await run(folder, "out");
    expect((await runInProcess(["check", results, "--baseline", results])).code).toBe(0);
    expect((await runInProcess(["report", results, "--quiet"])).code).toBe(0);
    const page = readFileSync(path.join(results, "report.html"), "utf8");
    expect(page).toContain("Task loss over the steps");
    const record = JSON.parse(readFileSync(path.join(results, "run.json"), "utf8"));
    expect(record.versions.tfjs).toBeUndefined();
  });

  it.each([
    ["clusters", clusters],
    ["text", text],
  ])("can be run again from its record, which has the options of both tasks, for task %s", async (_, stream) => {
    const folder = folderOf({ stream, steps: 2, routers: [{ kind: "topk" }] });
    const results = await run(folder, "out");
    const again = path.join(folder, "again");
    const { code, stderr } = await runInProcess(["run", path.join(results, "run.json"), "--quiet", "--out", again]);
    expect(code, stderr).toBe(0);
    expect(readFileSync(path.join(again, "steps.csv"))).toEqual(readFileSync(path.join(results, "steps.csv")));
  });

  it("sweeps, with intervals of the loss, and weighs balance against it", async () => {
    const folder = folderOf({
      stream: clusters,
      routers: [{ kind: "alf-lb" }],
      sweep: { "routers.alf-lb.updateRate": [0.01, 0.1] },
      seeds: [1, 2],
    });
    const out = path.join(folder, "out");
    const scenario = path.join(folder, "scenario.json");
    const { code, stdout, stderr } = await runInProcess(["sweep", scenario, "--out", out]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/Pareto-best of MaxVio and task loss, means over batches:\n.*MaxVio .*, task loss .* ± /);
    const intervals = readCsv(path.join(out, "intervals.csv"));
    expect(intervals).toHaveLength(2);
    for (const { task_loss, task_loss_ci95 } of intervals) {
      expect(Number(task_loss)).toBeGreaterThan(0);
      expect(Number(task_loss_ci95)).toBeGreaterThan(0);
    }
  });
});

describe("evaluation on held-back data", () => {
  const evaluate = { every: 5, tokens: 100 };
  const all = [...routers, { kind: "noisy-topk" }, { kind: "base" }, { kind: "random" }, { kind: "quantile" }];

  it("adds columns, filled after every n-th step and the last, and changes nothing else", async () => {
    const plain = await run(folderOf({ stream: clusters, routers: all }), "out");
    const evaluated = await run(folderOf({ stream: { ...clusters, evaluate }, routers: all }), "out");
    const added = ["eval_loss", "eval_max_vio", "eval_idle_fraction"];
    for (const file of ["summary.csv", "steps.csv"]) {
      const [before, after] = [plain, evaluated].map((folder) => readCsv(path.join(folder, file)));
      expect(after).toHaveLength(before.length);
      for (const [index, row] of after.entries()) {
        const rest = Object.fromEntries(Object.entries(row).filter(([column]) => !added.includes(column)));
        expect(rest).toEqual(before[index]);
        for (const column of added) expect(column in before[index]).toBe(false);
        const isEvaluated = file === "summary.csv" || ["4", "9", "11"].includes(row.step);
        for (const column of added) expect(row[column] !== "", `${column} of step ${row.step}`).toBe(isEvaluated);
        if (isEvaluated) expect(Number(row.eval_loss)).toBeGreaterThan(0);
      }
    }
    for (const file of ["loads.csv", "diagnostics.csv"]) {
      expect(readFileSync(path.join(evaluated, file))).toEqual(readFileSync(path.join(plain, file)));
    }
    // The summary has the value of the last step.
    const last = readCsv(path.join(evaluated, "steps.csv")).filter(({ step }) => step === "11");
    for (const [index, row] of readCsv(path.join(evaluated, "summary.csv")).entries()) {
      for (const column of added) expect(row[column]).toBe(last[index][column]);
    }
  });

  it("routes as at inference: routers that learned nothing yet of different gates have the loss and the balance of top-k", async () => {
    // One step with a rate of next to nothing: the gates and experts are those of the start.
    const plain = ["topk", "ssr", "sinkhorn", "scot", "expert-choice", "base", "noisy-topk"].map((kind) => ({
      kind,
      ...(kind === "ssr" && { select: { mode: "every", n: 1 } }),
      ...((kind === "expert-choice" || kind === "base") && { renormalize: true }),
    }));
    const stream = { ...clusters, learningRate: 1e-12, evaluate };
    const folder = folderOf({ stream, steps: 1, routers: plain });
    const rows = readCsv(path.join(await run(folder, "out"), "summary.csv"));
    expect(new Set(rows.map((row) => row.max_vio_batch_mean)).size).toBeGreaterThan(3);
    for (const { router, eval_loss, eval_max_vio, eval_idle_fraction } of rows) {
      expect([router, eval_loss, eval_max_vio, eval_idle_fraction]).toEqual([
        router,
        rows[0].eval_loss,
        rows[0].eval_max_vio,
        rows[0].eval_idle_fraction,
      ]);
    }
  });

  it.each([
    ["clusters", clusters],
    ["text", text],
  ])("writes the same bytes whatever the threads, and its page draws it, for task %s", async (_, stream) => {
    const folder = folderOf({ stream: { ...stream, evaluate } });
    const [one, three] = [await run(folder, "one", "--workers", "1"), await run(folder, "three", "--workers", "3")];
    for (const file of ["summary.csv", "steps.csv"]) {
      expect(readFileSync(path.join(three, file), "utf8")).toBe(readFileSync(path.join(one, file), "utf8"));
    }
    expect((await runInProcess(["check", one, "--baseline", three])).code).toBe(0);
    expect((await runInProcess(["report", one, "--quiet"])).code).toBe(0);
    expect(readFileSync(path.join(one, "report.html"), "utf8")).toContain("of held-back data after the last step");
  });

  it("resumes to the same bytes", async () => {
    const folder = folderOf({ stream: { ...text, evaluate }, routers: [{ kind: "ssr" }, { kind: "alf-lb" }] });
    const whole = await run(folder, "whole");
    const scenario = await loadScenario(path.join(folder, "scenario.json"));
    for (const part of wholeParts(scenario)) {
      const kernels = createKernels("wasm");
      const options = { kernels, part };
      const first = await createSimulation(scenario, options);
      for (let step = 0; step < 7; step++) await first.step();
      const saved = structuredClone(first.state());
      await first.close();
      const second = await createSimulation(scenario, { ...options, kernels: createKernels("wasm"), from: saved });
      while ((await second.step()) !== null);
      const [result] = routerResults(scenario, [await second.result()]);
      await second.close();
      const rows = readCsv(path.join(whole, "steps.csv")).filter(({ router }) => router === result.router.name);
      for (const row of rows) {
        for (const column of stepColumns.filter(({ name }) => name.startsWith("eval_") || name === "task_loss")) {
          expect(String(result.figureAt(Number(row.step), column) ?? "")).toBe(row[column.name]);
        }
      }
    }
  });
});

describe("bad input of a training scenario", () => {
  it.each([
    [
      { stream: { kind: "training", task: "text" } },
      /stream\.path: is missing; task: text needs the path of a text file/,
    ],
    [{ stream: { ...text, path: "gone.txt" } }, /gone\.txt/],
    [{ stream: { ...clusters, shift: [12] } }, /stream\.shift\.0: step 12 is after the last step, 11/],
    [
      { stream: { ...clusters, width: 4096, hidden: 16384 } },
      /experts × width × hidden would be 268435456 numbers; the maximum is/,
    ],
    [{ stream: { ...clusters, width: 1024, clusters: 4096 } }, /clusters × width × width would be 4294967296 numbers/],
    [
      { stream: { ...clusters, evaluate: { every: 1, tokens: 2 ** 20 }, width: 64 } },
      /evaluate\.tokens × width would be 67108864 numbers; the maximum is/,
    ],
    [{ stream: { ...clusters, evaluate: { every: 0 } } }, /stream\.evaluate\.every/],
    [{ stream: { ...clusters, evaluate: { evry: 1 } } }, /evry.*every/],
    [{ stream: { ...clusters, widht: 4 } }, /widht.*width/],
    [
      { stream: { ...clusters, path: "some.txt" } },
      /stream\.path: is an option of task: text, but the task is clusters\n$/,
    ],
    [{ stream: { ...text, noise: 0 } }, /stream\.noise: is an option of task: clusters, but the task is text\n$/],
  ])("is told in one line: %j", async (fields, message) => {
    const folder = folderOf(fields);
    const { code, stderr } = await runInProcess(["run", "scenario.json", "--out", "out"], folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd()).not.toContain("\n");
  });
});
