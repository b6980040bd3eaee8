import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { listFiles, moesim, projectPath, startMoesim, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const main = projectPath("dist/cli/main.js");
const scenario = {
  name: "s",
  steps: 2,
  tokens: 8,
  experts: 4,
  stream: { kind: "gaussian" },
  routers: [{ kind: "topk" }, { kind: "random" }],
  sweep: { topK: [1, 2] },
};

function folderWith(changes: object = {}): string {
  const folder = temporaryFolder();
  writeFileSync(path.join(folder, "s.json"), JSON.stringify({ ...scenario, ...changes }));
  return folder;
}

const preload = projectPath("test/support/fault.mjs");

/** Runs moesim as a process of which the calls from number `at` on that change files fail with `code`, in any thread. */
function withFault(words: readonly string[], folder: string, at: number, code: string) {
  const counter = path.join(temporaryFolder(), "calls");
  const env = { ...process.env, FAULT: code, FAULT_AT: String(at), FAULT_STAYS: "1", FAULT_COUNT: counter };
  return spawnSync(process.execPath, ["--import", preload, main, ...words], { cwd: folder, env, encoding: "utf8" });
}

describe("a full disk", () => {
  it.each([
    ["run", "ENOSPC", 12],
    ["sweep", "EIO", 20],
  ])("ends %s with 2 and one message with two workers, and keeps nothing from the next", (command, code, at) => {
    const folder = folderWith();
    const words = [command, "s.json", "--out", "o", "--workers", "2", "--quiet"];
    const { status, stderr } = withFault(words, folder, at, code);
    expect(stderr).toMatch(new RegExp(`^moesim: .*o: cannot be written to: ${code}: injected, .*\\n$`));
    expect(status).toBe(2);
    expect(existsSync(path.join(folder, "o"))).toBe(false);
    expect(moesim(words, folder)).toMatchObject({ code: 0, stderr: "" });
    expect(listFiles(folder).filter((name) => name.includes(".moesim"))).toEqual([]);
  });

  it("keeps the exit code where messages cannot be written either", () => {
    const shell = (command: string) => spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect(shell(`"${process.execPath}" "${main}" run nowhere.yaml 2>/dev/full`).status).toBe(2);
    const printed = shell(`"${process.execPath}" "${main}" list routers >/dev/full`);
    expect(printed.status).toBe(74);
    expect(printed.stderr).toMatch(/^moesim: standard output: cannot be written: ENOSPC[^\n]*\n$/);
  });

  it("keeps the exit code where the reader of a pipe goes away", async () => {
    const program = spawn(process.execPath, [main, "list", "routers"], { stdio: ["ignore", "pipe", "pipe"] });
    program.stdout.destroy();
    let messages = "";
    program.stderr.on("data", (text) => {
      messages += text;
    });
    expect(await once(program, "close")).toEqual([0, null]);
    expect(messages).toBe("");
  });
});

it("says so where the folder is removed in the middle of a sweep", async () => {
  const folder = folderWith({ steps: 3000 });
  await runInProcess(["run", "s.json", "--out", "o", "--quiet", "--set", "steps=2"], folder);
  const sweep = spawn(process.execPath, [main, "sweep", "s.json", "--out", "o", "--quiet"], { cwd: folder });
  onTestFinished(() => void sweep.kill("SIGKILL"));
  let messages = "";
  sweep.stderr.on("data", (text) => {
    messages += text;
  });
  const end = once(sweep, "close");
  while (!existsSync(path.join(folder, "o/.moesim/current/work"))) {
    if (sweep.exitCode !== null) throw new Error(`ended before its folder could be removed: ${messages}`);
    await setTimeout(5);
  }
  rmSync(path.join(folder, "o"), { recursive: true, force: true, maxRetries: 5 });
  expect(await end).toEqual([2, null]);
  expect(messages).toMatch(/^moesim: .*cannot be written to: its folder was removed or moved while moesim was writing/);
});

it("completes, for a command that reads, a folder that a killed program left half-replaced", async () => {
  const folder = folderWith();
  const words = ["run", "s.json", "--out", "o", "--quiet"];
  await runInProcess([...words, "--seed", "9"], folder);
  await runInProcess([...words.slice(0, -2), "new", "--quiet"], folder);
  const env = { ...process.env, FAULT_COUNT: path.join(folder, "calls"), FAULT_TARGET: "/o/summary.csv" };
  const { signal } = spawnSync(process.execPath, ["--import", preload, main, ...words], { cwd: folder, env });
  expect(signal).toBe("SIGKILL");
  expect(existsSync(path.join(folder, "o/.moesim/commit.json"))).toBe(true);
  expect(existsSync(path.join(folder, "o/summary.csv"))).toBe(false);
  expect(await runInProcess(["check", "o", "--baseline", "new"], folder)).toMatchObject({ code: 0 });
  expect(readFileSync(path.join(folder, "o/steps.csv"))).toEqual(readFileSync(path.join(folder, "new/steps.csv")));
  expect(listFiles(folder).filter((name) => name.includes(".moesim"))).toEqual([]);
});

it("lets two updates of a baseline at once both succeed", async () => {
  const folder = folderWith();
  await runInProcess(["run", "s.json", "--out", "r", "--quiet"], folder);
  const words = ["check", "r", "--baseline", "b", "--update", "--quiet"];
  const ends = [1, 2].map(() => once(startMoesim(words, folder), "exit"));
  expect(await Promise.all(ends)).toEqual([
    [0, null],
    [0, null],
  ]);
  expect((await runInProcess(["check", "r", "--baseline", "b", "--quiet"], folder)).code).toBe(0);
  expect(listFiles(folder).filter((name) => name.includes(".moesim"))).toEqual([]);
});
