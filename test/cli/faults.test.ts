import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { faults, injectFault } from "../support/faults.ts";
import { temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

vi.mock("node:fs", async (original) => (await import("../support/faults.ts")).faultyFs(await original()));
vi.mock("node:fs/promises", async (original) =>
  (await import("../support/faults.ts")).faultyPromises(await original()),
);

const scenario = {
  name: "s",
  steps: 2,
  tokens: 8,
  experts: 4,
  stream: { kind: "gaussian" },
  routers: [{ kind: "topk" }, { kind: "sinkhorn" }],
  sweep: { topK: [1, 2] },
};
/** No process has this number. */
const deadId = 2 ** 31 - 5;

/** The words of a command line, with the files of `folder`. */
function words(folder: string, command: string): string[] {
  const at = command.replaceAll(/(?<=\s)@/g, `${folder}/`);
  return [...at.split(" "), "--quiet"];
}

/** Every file below `folder`, with what it says, but for times; those of staging only by name. */
function contents(folder: string, hidden: boolean): Record<string, string> {
  const all = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));
  const shown = files.filter((file) => hidden || !file.includes(".moesim")).sort();
  return Object.fromEntries(shown.map((file) => [path.relative(folder, file), textOf(file)]));
}

function textOf(file: string): string {
  const text = readFileSync(file, "base64");
  switch (path.basename(file)) {
    case "run.json":
      return JSON.stringify(JSON.parse(readFileSync(file, "utf8")).scenario ?? "measured");
    case "timing.csv":
      return readFileSync(file, "utf8").split("\n").length.toString();
    default:
      return text;
  }
}

/** Makes what this process staged in `folder` that of a process that is gone. */
function die(folder: string): void {
  const own = new RegExp(`(^owner|moesim)-${process.pid}-\\d+-`);
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  for (const name of names.sort((a, b) => b.length - a.length)) {
    const base = path.basename(name);
    if (!own.test(base)) continue;
    renameSync(path.join(folder, name), path.join(folder, path.dirname(name), base.replace(own, `$1-${deadId}-7-`)));
  }
}

/** Thousands of small folders are made and removed here, which takes three times as long on a disk as in memory. */
const memory = "/dev/shm";
const root = existsSync(memory) ? mkdtempSync(path.join(memory, "moesim-test-")) : temporaryFolder();
afterAll(() => rmSync(root, { recursive: true, force: true }));

const bySetup = new Map<string, string>();

/** A copy of the folder in which the commands `setup` have been run. */
async function folderAfter(setup: readonly string[]): Promise<string> {
  const key = setup.join("\n");
  let made = bySetup.get(key);
  if (made === undefined) {
    made = path.join(root, `setup-${bySetup.size}`);
    mkdirSync(made);
    writeFileSync(path.join(made, "s.json"), JSON.stringify(scenario));
    writeFileSync(path.join(made, "loads.csv"), "1,3\n2,2\n");
    writeFileSync(path.join(made, "logits.csv"), "0.1,0.2\n0.4,0.3\n0.2,0.9\n0.8,0.1\n");
    for (const command of setup) expect(await runInProcess(words(made, command))).toMatchObject({ code: 0 });
    bySetup.set(key, made);
  }
  const copy = path.join(root, "now");
  rmSync(copy, { recursive: true, force: true });
  cpSync(made, copy, { recursive: true });
  return copy;
}

beforeAll(() => injectFault(Number.POSITIVE_INFINITY, "KILL"));

const run = "run @s.json --out @o";
const sweep = "sweep @s.json --out @o";
const cases: [string, string[], string][] = [
  ["a new run", [], run],
  ["a run over another", ["run @s.json --out @o --seed 9"], run],
  ["a run over a sweep", ["sweep @s.json --out @o --set seed=9"], run],
  ["a new run with checkpoints", [], `${run} --checkpoint-every 1`],
  ["a new sweep", [], sweep],
  ["a sweep over another", ["sweep @s.json --out @o --set seed=9 sweep.topK=[1,2,3]"], sweep],
  ["a sweep over a run", ["run @s.json --out @o --seed 9"], sweep],
  ["a sweep that is resumed", ["sweep @s.json --out @o"], `${sweep} --resume`],
  ["a new measurement", [], "measure --loads @loads.csv --experts 2 --out @o"],
  ["a new baseline", ["run @s.json --out @r"], "check @r --baseline @o --update"],
  [
    "a baseline over another",
    ["run @s.json --out @r", "run @s.json --seed 9 --out @o"],
    "check @r --baseline @o --update",
  ],
  [
    "a baseline of a sweep over another",
    ["sweep @s.json --out @r", "sweep @s.json --out @o --set seed=9 sweep.topK=[1,2,3]"],
    "check @r --baseline @o --update",
  ],
  ["an export", ["export @s.json --seed 9 --out @e.npy"], "export @s.json --out @e.npy"],
  ["a plan", [], "route --router ssr --logits @logits.csv --out @a.csv --plan @p.npy"],
];

const codes = ["ENOSPC", "EROFS", "EIO", "EMFILE", "ENOENT"];
/** A command has at most so many calls of which each one is tried. */
const fewCalls = 64;
const goldenRatio = (1 + Math.sqrt(5)) / 2;

/**
 * The multiples of `factor` up to `limit`, rounded down. If `factor` is irrational, they meet every phase of any period
 * equally often: calls repeat file after file and cell after cell.
 */
function multiples(factor: number, limit: number): number[] {
  return Array.from({ length: limit }, (_, i) => Math.floor((i + 1) * factor)).filter((call) => call <= limit);
}

/** Which of the calls 1 … `points` fail: each one, or of many about a quarter. */
function moments(points: number): number[] {
  return multiples(points <= fewCalls ? 1 : goldenRatio ** 3, points);
}

/** Whether the files are `now` those of one of `those`. */
function isWhole(now: Record<string, string>, ...those: Record<string, string>[]): boolean {
  return those.some((one) => JSON.stringify(one) === JSON.stringify(now));
}

describe.each(cases)("%s", (_, setup, command) => {
  it("that is killed at any moment leaves the old files, the new ones, or none that could be taken for whole ones", async () => {
    const undisturbed = await folderAfter(setup);
    const before = contents(undisturbed, false);
    injectFault(Number.POSITIVE_INFINITY, "KILL");
    expect(await runInProcess(words(undisturbed, command))).toMatchObject({ code: 0 });
    const points = faults.calls;
    const after = contents(undisturbed, true);
    expect(points).toBeGreaterThan(3);

    for (const at of moments(points)) {
      const folder = await folderAfter(setup);
      injectFault(at, "KILL");
      await runInProcess(words(folder, command));
      injectFault(Number.POSITIVE_INFINITY, "KILL");
      die(folder);
      const now = contents(folder, false);
      const isPlan = "a.csv" in after && "p.npy" in now;
      if (!isWhole(now, before, after) && !isPlan) expect(Object.keys(now), `${at}`).not.toContain("o/summary.csv");
      const { code, stderr } = await runInProcess(words(folder, command));
      expect(code, `${at}: ${stderr}`).toBe(0);
      expect(contents(folder, true), `${at}`).toEqual(after);
    }
  });

  it("ends with 2 and one message where the system refuses, with what was there", async () => {
    const undisturbed = await folderAfter(setup);
    const before = contents(undisturbed, false);
    injectFault(Number.POSITIVE_INFINITY, "");
    expect(await runInProcess(words(undisturbed, command))).toMatchObject({ code: 0 });
    const points = faults.calls;
    const after = contents(undisturbed, true);

    // About two calls in five, and all later ones with them; the others fail alone.
    const staying = new Set(multiples(goldenRatio + 1, points));
    for (const at of moments(points)) {
      const code = codes[at % codes.length];
      const stays = staying.has(at);
      const folder = await folderAfter(setup);
      injectFault(at, code, stays);
      const failed = await runInProcess(words(folder, command));
      injectFault(Number.POSITIVE_INFINITY, "");
      // Only clearing up may fail without a word.
      if (failed.code !== 0) {
        expect(failed.code, failed.stderr).toBe(2);
        expect(failed.stderr).toMatch(/^moesim: .*cannot be written to: .*injected, \w+\n$/);
        expect(failed.stderr).toContain(code);
      }
      const now = contents(folder, false);
      const isPlan = "a.csv" in after && "p.npy" in now;
      // If nothing can be renamed any more, nothing can be put back.
      if (!isWhole(now, before, after) && !isPlan) {
        expect(stays, `${at}: ${Object.keys(now)}`).toBe(true);
        expect(Object.keys(now)).not.toContain("o/summary.csv");
      }
      die(folder);
      const { code: next, stderr } = await runInProcess(words(folder, command));
      expect(next, `${at}: ${stderr}`).toBe(0);
      expect(contents(folder, true), `${at}`).toEqual(after);
    }
  });
});
