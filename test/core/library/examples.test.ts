import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { transformSync } from "esbuild";
import { describe, expect, it } from "vitest";
import { projectPath, temporaryFolder } from "../../support/program.ts";

const examples = readdirSync(projectPath("docs/examples"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => path.basename(file, ".ts"));
const sourceOf = (name: string) => readFileSync(projectPath("docs/examples", `${name}.ts`), "utf8");
const page = readFileSync(projectPath("docs/library.md"), "utf8");

/** Where the examples find the built package as a program that depends on it does. */
const folder = temporaryFolder();
mkdirSync(path.join(folder, "node_modules"));
symlinkSync(projectPath(), path.join(folder, "node_modules/moesim"), "dir");

/** What an example prints, run as a program of its own from the project's folder. */
function run(name: string): string[] {
  const file = path.join(folder, `${name}.mjs`);
  writeFileSync(file, transformSync(sourceOf(name), { loader: "ts", target: "node20" }).code);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: projectPath(), encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.trimEnd().split("\n");
}

const printed = new Map(examples.map((name) => [name, run(name)]));

/** All numbers after `label` in the line that begins with `start`. */
function numbers(name: string, start: string): number[] {
  const line = printed.get(name)!.find((text) => text.startsWith(start));
  expect(line, `${name}: ${start}`).toBeDefined();
  return Array.from(line!.slice(start.length).matchAll(/-?\d+(\.\d+)?/g), ([text]) => Number(text));
}

describe("docs/library.md", () => {
  const blocks = Array.from(page.matchAll(/```(\w+)\n(.*?)```\n/gs), ([, language, text]) => ({ language, text }));

  it("shows every example as its file is, and no other program", () => {
    const shown = blocks.filter(({ language }) => language === "ts").map(({ text }) => text);
    expect(shown.sort()).toEqual(examples.map(sourceOf).sort());
  });

  it("shows what the examples print", () => {
    const outputs = blocks.flatMap(({ language, text }, index) => {
      const name = examples.find((example) => sourceOf(example) === blocks[index - 1]?.text);
      return language === "text" ? [{ name, lines: text.trimEnd().split("\n") }] : [];
    });
    expect(outputs).toHaveLength(examples.length - 1);
    for (const { name, lines } of outputs) expect(lines).toEqual(printed.get(name!));
  });

  it("names every function that the package has", async () => {
    const library = await import("../../../src/index.ts");
    const { metrics, routers, streams, transport, ...own } = library;
    for (const name of ["simulate", "measure", "loadScenario", "expandSweep"]) expect(own).toHaveProperty(name);
    for (const [name, group] of Object.entries({ metrics, routers, streams, transport })) {
      expect(page).toContain(`\`${name}.`);
      if (name !== "metrics") for (const member of Object.keys(group)) expect(page).toContain(`.${member}(`);
    }
  });
});

describe("the examples", () => {
  it("are five to eight programs that each begin with their question", () => {
    expect(examples.length).toBeGreaterThanOrEqual(5);
    expect(examples.length).toBeLessThanOrEqual(8);
    for (const name of examples) expect(sourceOf(name)).toMatch(/^\/\/ .*\?/);
  });

  it("compare routers: balance costs score, the exact optimum has no regret, and ssr balances what it selects", () => {
    const result = (kind: string) => numbers("compare-routers", `${kind}: MaxVio`);
    const [topk, sinkhorn, base] = ["topk", "sinkhorn", "base"].map(result);
    expect(base[0]).toBe(0);
    expect(base[2]).toBe(0);
    expect(topk[0]).toBeGreaterThan(2 * sinkhorn[0]);
    expect(topk[1]).toBeGreaterThan(sinkhorn[1]);
    expect(sinkhorn[1]).toBeGreaterThan(base[1]);
    const [planned] = numbers("compare-routers", "ssr, MaxVio with the plan:");
    const [others] = numbers("compare-routers", "ssr, MaxVio without it:");
    expect(planned).toBeLessThan(others / 2);
  });

  it("read the gates of a plan: its entries divided by their sum, on a selected batch and on one that is not", () => {
    const [selected, first, second, other, third, fourth] = printed.get("own-logits")!;
    expect(selected).toMatch(/^selected: MaxVio 0\.33, [1-9]\d* iterations$/);
    expect(other).toMatch(/^not selected: MaxVio 1\.00, 0 iterations$/);
    for (const line of [first, second, third, fourth]) {
      const [, row, chosen] = line.match(/plan \[(.*)\] → (.*)/)!;
      const plan = row.split(", ").map(Number);
      const pairs = Array.from(chosen.matchAll(/expert (\d) gate ([\d.]+)/g), ([, e, gate]) => [
        Number(e),
        Number(gate),
      ]);
      const sum = pairs.reduce((total, [e]) => total + plan[e], 0);
      // Three digits are printed.
      for (const [e, gate] of pairs) expect(Math.abs(gate - plan[e] / sum)).toBeLessThan(2e-3);
    }
  });

  it("replay a recording: its training measured a MaxVio of 4.30 and 7 idle experts on the last step", () => {
    expect(numbers("replay-trace", "topk: ").slice(1)).toEqual([4.3, 7]);
    expect(numbers("replay-trace", "expert-choice: MaxVio")[0]).toBe(0);
    expect(numbers("replay-trace", "sinkhorn: MaxVio")[0]).toBeLessThan(0.5);
  });

  it("sweep a step size: small steps arrive late, large ones swing, and one between is best", () => {
    const [header, ...rows] = printed.get("bias-step-size")!.map((line) => line.split(","));
    expect(header).toEqual(["router", "rate", "step", "maxVio", "dualRegret"]);
    expect(rows).toHaveLength(4 * 300);
    const tail = (rate: string) => {
      const last = rows.filter((row) => row[1] === rate && Number(row[2]) >= 200).map((row) => Number(row[3]));
      return last.reduce((sum, maxVio) => sum + maxVio, 0) / last.length;
    };
    expect(tail("0.01")).toBeLessThan(tail("0.0001"));
    expect(tail("0.01")).toBeLessThan(tail("0.1"));
    // Never below 0 for a whole run, but for what the best bias in hindsight is known to.
    const ends = rows.filter((row) => row[2] === "299").map((row) => Number(row[4]));
    for (const regret of ends) expect(regret).toBeGreaterThan(-1e-6);
  });

  it("measure a model: MaxVio and CV are what NumPy finds in the file", () => {
    expect(numbers("measure-model", "all tokens:")).toEqual([3.8919, 0.7494]);
    expect(numbers("measure-model", "mean of 32 layers: MaxVio")).toEqual([0.266]);
    expect(numbers("measure-model", "worst layer")).toEqual([18, 0.416]);
    const [slowdown] = numbers("measure-model", "8 devices:");
    expect(slowdown).toBeGreaterThan(1);
    expect(slowdown).toBeLessThan(8);
  });

  it("prove an optimum: the bound of its prices is its value, and only base reaches it in balance", () => {
    const [optimum] = numbers("batch-regret", "optimum");
    expect(numbers("batch-regret", "bound")).toEqual([optimum]);
    expect(numbers("batch-regret", "base:")).toEqual([0, 0]);
    expect(numbers("batch-regret", "topk: regret")[0]).toBeGreaterThan(0);
  });

  it("study a router of one's own: more room, more score, less regret, and in the end plain top-k", () => {
    const rows = [1, 1.25, 1.5, 2, 4].map((factor) => numbers("own-router", `factor ${factor}: score`));
    for (const [index, [score, regret]] of rows.entries()) {
      if (index === 0) continue;
      expect(score).toBeGreaterThan(rows[index - 1][0]);
      expect(regret).toBeLessThan(rows[index - 1][1]);
    }
    expect(rows[4][3]).toBe(0);
    expect(rows[4][1]).toBe(0);
  });
});
