import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
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
    expect(record.versions.tfjs).toMatch(/^4\./);
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
