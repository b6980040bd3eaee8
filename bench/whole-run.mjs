// A whole run of scenarios/deepseek-v3.yaml, 200 steps of 8192 tokens, as Markdown tables: tokens per second of each
// router, where the time of one thread goes, and what a second thread brings. `npm run build && node bench/whole-run.mjs`
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { median } from "d3-array";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const scenario = fileURLToPath(new URL("../scenarios/deepseek-v3.yaml", import.meta.url));
const [steps, tokens, repetitions] = [200, 8192, 3];

/** A part of the program by the files of the compiled source where it begins; the first that fits a call stack counts. */
const parts = [
  ["stream", /dist\/core\/streams\//],
  ["routing", /dist\/core\/routers\//],
  ["regret: optimum and feasible score", /dist\/core\/metrics\/regret\.js/],
  ["dual regret", /dist\/core\/metrics\/dual-/],
  ["other metrics", /dist\/core\/metrics\//],
  ["writing", /dist\/node\/files\//],
];

const folder = mkdtempSync(path.join(tmpdir(), "moesim-whole-run-"));

/** Runs the program; returns seconds of wall clock, all included. */
function run(workers, nodeOptions = []) {
  const words = ["run", scenario, "--quiet", "--out", folder, "--set", `steps=${steps}`, `tokens=${tokens}`];
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [...nodeOptions, main, ...words, "--workers", workers], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return (performance.now() - start) / 1000;
}

/** Seconds of each part in a profile of the processor, by the part nearest to the root of each sampled stack. */
function secondsByPart({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, { ...node, part: "everything else" }]));
  const isKnown = new Set();
  // A node comes before its children.
  for (const { id, callFrame, children = [] } of byId.values()) {
    const node = byId.get(id);
    const own = parts.find(([, file]) => file.test(callFrame.url))?.[0];
    if (!isKnown.has(id) && callFrame.functionName !== "" && own !== undefined) {
      node.part = own;
      isKnown.add(id);
    }
    if (callFrame.functionName === "(garbage collector)") node.part = "garbage collection";
    if (callFrame.functionName === "(idle)") node.part = null;
    for (const child of children) {
      byId.get(child).part = node.part;
      if (isKnown.has(id)) isKnown.add(child);
    }
  }
  const seconds = new Map();
  for (const [i, sample] of samples.entries()) {
    const { part } = byId.get(sample);
    if (part !== null) seconds.set(part, (seconds.get(part) ?? 0) + timeDeltas[i] / 1e6);
  }
  return seconds;
}

const one = [];
const two = [];
for (let repetition = 0; repetition < repetitions; repetition++) {
  one.push(run("1"));
  two.push(run("2"));
}
run("1", ["--cpu-prof", "--cpu-prof-dir", path.join(folder, "profile")]);

process.stdout.write("| router | tokens per second |\n|---|---:|\n");
for (const row of parse(readFileSync(path.join(folder, "timing.csv")), { columns: true })) {
  process.stdout.write(
    `| ${row.router} | ${Number(Number(row.tokens_per_second).toPrecision(3)).toLocaleString("en")} |\n`,
  );
}

const [profile] = readdirSync(path.join(folder, "profile"));
const seconds = secondsByPart(JSON.parse(readFileSync(path.join(folder, "profile", profile), "utf8")));
const total = Array.from(seconds.values()).reduce((sum, value) => sum + value);
process.stdout.write("\n| part | seconds | share |\n|---|---:|---:|\n");
for (const [part, value] of Array.from(seconds).toSorted(([, a], [, b]) => b - a)) {
  process.stdout.write(`| ${part} | ${value.toFixed(2)} | ${((100 * value) / total).toFixed(1)} % |\n`);
}

const [single, double] = [median(one), median(two)];
process.stdout.write(`\n| threads | median of ${repetitions} | ratio |\n|---:|---:|---:|\n`);
process.stdout.write(
  `| 1 | ${single.toFixed(2)} s | 1 |\n| 2 | ${double.toFixed(2)} s | ${(single / double).toFixed(2)} |\n`,
);
rmSync(folder, { recursive: true });
