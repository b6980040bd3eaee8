// Peak memory of a whole run against the number of its steps, as a Markdown table: `npm run build && node bench/memory.mjs`.
// Each run is a process of its own, with one and with two threads; the peak is the resident set of all its threads, the
// median of five runs, since it depends on when V8 collects garbage.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { median, range } from "d3-array";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const stepCounts = [100, 1000, 10_000];
const repetitions = 5;

/** A preload that prints the process's peak when it ends, in KiB. */
const probe = `process.on("exit", () => process.stderr.write("peak " + process.resourceUsage().maxRSS + "\\n"));`;

const scenario = {
  name: "memory",
  tokens: 256,
  experts: 32,
  topK: 2,
  regret: { every: 0 },
  stream: { kind: "clusters" },
  routers: ["topk", "alf-lb", "ssr", "expert-choice"].map((kind) => ({ kind })),
};

const folder = mkdtempSync(path.join(tmpdir(), "moesim-memory-"));
const file = path.join(folder, "memory.json");
const preload = path.join(folder, "probe.cjs");
writeFileSync(file, JSON.stringify(scenario));
writeFileSync(preload, probe);

function peak(steps, workers) {
  const words = ["run", file, "--quiet", "--out", path.join(folder, "out"), "--set", `steps=${steps}`];
  const { status, stderr } = spawnSync(process.execPath, ["--require", preload, main, ...words, "--workers", workers], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return Math.max(...Array.from(stderr.matchAll(/^peak (\d+)$/gm), ([, kibibytes]) => Number(kibibytes))) / 1024;
}

process.stdout.write("| steps | peak, 1 thread | against 100 steps | peak, 2 threads | against 100 steps |\n");
process.stdout.write("|---:|---:|---:|---:|---:|\n");
const first = [];
for (const steps of stepCounts) {
  const cells = ["1", "2"].flatMap((workers, i) => {
    const mebibytes = median(range(repetitions), () => peak(steps, workers));
    first[i] ??= mebibytes;
    return [`${mebibytes.toFixed(0)} MiB`, `${Math.round(100 * (mebibytes / first[i] - 1))} %`];
  });
  process.stdout.write(`| ${steps} | ${cells.join(" | ")} |\n`);
}
rmSync(folder, { recursive: true });
