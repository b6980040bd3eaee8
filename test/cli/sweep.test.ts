import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { npyBytes } from "../support/npy.ts";
import { listFiles, moesim, readCsv, startMoesim, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const scenario = {
  name: "grid",
  seed: 4,
  steps: 12,
  tokens: 64,
  experts: 8,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
  sweep: { "routers.alf-lb.updateRate": [0.01, 0.1], topK: [1, 2, 3] },
  seeds: [1, 2],
};

function folderWith(changes: object = {}): string {
  const folder = temporaryFolder();
  writeFileSync(path.join(folder, "grid.json"), JSON.stringify({ ...scenario, ...changes }));
  return folder;
}

function summaryOf(folder: string): string {
  return readFileSync(path.join(folder, "out/summary.csv"), "utf8");
}

const words = ["sweep", "grid.json", "--out", "out"];

describe("moesim sweep", () => {
  it("writes a row per cell, seed and router, with the swept parameters as further columns", () => {
    const folder = folderWith();
    const { code, stderr } = moesim(words, folder);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const rows = readCsv(path.join(folder, "out/summary.csv"));
    const keys = rows.map((row) => [row["routers.alf-lb.updateRate"], row.topK, row.seed, row.router].join(" "));
    const expected = ["0.01", "0.1"].flatMap((rate) =>
      ["1", "2", "3"].flatMap((topK) =>
        ["1", "2"].flatMap((seed) => ["topk", "alf-lb"].map((router) => [rate, topK, seed, router].join(" "))),
      ),
    );
    expect(keys).toEqual(expected);
    for (const row of rows) expect(row.top_k).toBe(row.topK);
  });

  it("gives each cell what a run of its scenario gives", async () => {
    const folder = folderWith();
    await runInProcess(words, folder);
    const changes = ["routers.alf-lb.updateRate=0.1", "topK=3"];
    await runInProcess(["run", "grid.json", "--seed", "2", "--set", ...changes, "--out", "run"], folder);
    const run = readCsv(path.join(folder, "run/summary.csv"));
    const cell = readCsv(path.join(folder, "out/summary.csv")).slice(-2);
    expect(cell).toEqual(run.map((row) => ({ ...row, "routers.alf-lb.updateRate": "0.1", topK: "3" })));
  });

  it("counts cells, variants and seeds in words that agree with them", async () => {
    const folder = folderWith({ routers: [{ kind: "topk" }], sweep: { "routers[0].renormalize": [true] }, seeds: [1] });
    const { stdout } = await runInProcess(words, folder);
    expect(stdout).toMatch(/^grid: 1 cell, 1 variant over one seed\n/);
    // No more than a router is swept, however its path is written.
    expect(stdout).not.toContain("swept too");
  });

  it("takes the scenario's own seed where it names no seeds", async () => {
    const folder = folderWith({ seeds: undefined, sweep: { topK: [1] } });
    await runInProcess(words, folder);
    expect(readCsv(path.join(folder, "out/summary.csv")).map(({ seed }) => seed)).toEqual(["4", "4"]);
  });

  it("writes the same bytes with two workers, and when it is killed and resumed", async () => {
    const fewer = { steps: 400, sweep: { topK: [1, 3] } };
    const whole = folderWith(fewer);
    moesim([...words, "--workers", "2"], whole);

    const folder = folderWith(fewer);
    const killed = startMoesim(words, folder);
    const staged = path.join(folder, ".out.moesim/current/files/cells");
    while (!existsSync(path.join(staged, "1"))) await setTimeout(10);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    expect(existsSync(path.join(folder, "out"))).toBe(false);
    const finishedBefore = readFileSync(path.join(staged, "0/run.json"), "utf8");

    expect((await runInProcess([...words, "--resume"], folder)).code).toBe(0);
    expect(summaryOf(folder)).toBe(summaryOf(whole));
    // run.json tells when a cell was run, so an equal file says that it was not run again.
    expect(readFileSync(path.join(folder, "out/cells/0/run.json"), "utf8")).toBe(finishedBefore);
  });

  it("does not take over the cells of another scenario", async () => {
    const folder = folderWith();
    await runInProcess(words, folder);
    writeFileSync(path.join(folder, "grid.json"), JSON.stringify({ ...scenario, tokens: 32 }));
    await runInProcess([...words, "--resume"], folder);
    expect(new Set(readCsv(path.join(folder, "out/summary.csv")).map(({ tokens }) => tokens))).toEqual(new Set(["32"]));
  });

  it("removes the cells of a larger sweep, and nothing that is none", async () => {
    const folder = folderWith();
    await runInProcess(words, folder);
    mkdirSync(path.join(folder, "out/cells/notes"));
    writeFileSync(path.join(folder, "grid.json"), JSON.stringify({ ...scenario, seeds: [1] }));
    expect((await runInProcess(words, folder)).code).toBe(0);
    expect(readdirSync(path.join(folder, "out/cells")).sort()).toEqual(["0", "1", "2", "3", "4", "5", "notes"]);
  });

  it("leaves what is no cell where it is, and says so when it is in the way", async () => {
    const folder = folderWith();
    for (const place of ["2024", "3"]) {
      mkdirSync(path.join(folder, "out/cells", place), { recursive: true });
      writeFileSync(path.join(folder, "out/cells", place, "own.txt"), "mine");
    }
    const before = listFiles(folder);
    const { code, stderr } = await runInProcess(words, folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(/cells\/3: a cell of the sweep goes here/);
    expect(listFiles(folder)).toEqual(before);

    rmSync(path.join(folder, "out/cells/3"), { recursive: true });
    expect((await runInProcess(words, folder)).code).toBe(0);
    expect(existsSync(path.join(folder, "out/cells/2024/own.txt"))).toBe(true);
  });

  it("says so when a file is in the way of the cells", async () => {
    const folder = folderWith();
    mkdirSync(path.join(folder, "out"));
    writeFileSync(path.join(folder, "out/cells"), "mine");
    const { code, stderr } = await runInProcess(words, folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(/out\/cells: a folder for the cells goes here/);
    expect(listFiles(folder)).toEqual(["grid.json", "out", "out/cells"]);
  });

  it("replaces, resumes and removes cells that a report was made of, and leaves what it did not write", async () => {
    const folder = folderWith({ sweep: { topK: [1, 2] }, seeds: undefined });
    await runInProcess(words, folder);
    for (const cell of ["0", "1"]) expect((await runInProcess(["report", `out/cells/${cell}`], folder)).code).toBe(0);
    const notes = path.join(folder, "out/cells/1/notes.txt");
    writeFileSync(notes, "mine");
    const record = (cell: number) => readFileSync(path.join(folder, `out/cells/${cell}/run.json`), "utf8");
    const before = [record(0), record(1)];

    expect(await runInProcess([...words, "--resume"], folder)).toMatchObject({ code: 0, stderr: "" });
    expect([record(0), record(1)]).toEqual(before);
    expect(existsSync(path.join(folder, "out/cells/0/report.html"))).toBe(true);

    expect(await runInProcess(words, folder)).toMatchObject({ code: 0, stderr: "" });
    expect(record(0)).not.toBe(before[0]);
    expect(record(1)).not.toBe(before[1]);
    // The pages showed the old files.
    expect(listFiles(path.join(folder, "out/cells")).filter((file) => file.endsWith(".html"))).toEqual([]);

    writeFileSync(
      path.join(folder, "grid.json"),
      JSON.stringify({ ...scenario, sweep: { topK: [1] }, seeds: undefined }),
    );
    expect((await runInProcess(words, folder)).code).toBe(0);
    expect(readFileSync(notes, "utf8")).toBe("mine");
    expect(readdirSync(path.join(folder, "out/cells/1")).sort()).toEqual(["notes.txt", "run.json"]);
  });

  it("does not take over the cells of recorded data that has changed", async () => {
    const write = (seed: number) =>
      writeFileSync(
        path.join(folder, "logits.npy"),
        npyBytes(
          [4, 8, 4],
          Array.from({ length: 128 }, (_, i) => Math.sin(seed * i)),
        ),
      );
    const recorded = { stream: { kind: "trace", path: "logits.npy" }, sweep: { topK: [1, 2] }, seeds: undefined };
    const sizes = { steps: undefined, tokens: undefined, experts: undefined };
    const folder = folderWith({ ...recorded, ...sizes });
    write(1);
    await runInProcess(words, folder);
    const before = summaryOf(folder);
    write(2);
    expect((await runInProcess([...words, "--resume"], folder)).code).toBe(0);
    expect(summaryOf(folder)).not.toBe(before);
  });

  it("clears away what a killed sweep left half-written", async () => {
    const folder = folderWith({ steps: 100_000 });
    const killed = startMoesim(words, folder);
    while (!existsSync(path.join(folder, ".out.moesim"))) await setTimeout(10);
    await setTimeout(200);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    writeFileSync(path.join(folder, "grid.json"), JSON.stringify(scenario));
    await runInProcess(words, folder);
    expect(readdirSync(path.join(folder, "out")).sort()).toEqual(["cells", "intervals.csv", "summary.csv"]);
    expect(readdirSync(folder).sort()).toEqual(["grid.json", "out"]);
  });

  it("leaves an earlier sweep as it was until the new one is whole, and one program at a time in its folder", async () => {
    const folder = folderWith({ sweep: { topK: [1, 2] }, seeds: undefined });
    await runInProcess(words, folder);
    const bytes = () =>
      listFiles(path.join(folder, "out"))
        .filter((name) => !name.startsWith(".") && name.includes(".csv"))
        .map((name) => readFileSync(path.join(folder, "out", name), "utf8"));
    const before = bytes();
    writeFileSync(
      path.join(folder, "grid.json"),
      JSON.stringify({ ...scenario, sweep: { steps: [1, 1_000_000] }, seeds: undefined }),
    );
    const other = startMoesim(words, folder);
    onTestFinished(() => void other.kill("SIGKILL"));
    while (!existsSync(path.join(folder, "out/.moesim/current/files/cells/0"))) await setTimeout(10);
    expect(await runInProcess(words, folder)).toMatchObject({
      code: 2,
      stderr: `moesim: out: process ${other.pid} appears to be still running and writing there; wait until it has ended, or stop it\n`,
    });
    expect(bytes()).toEqual(before);
    other.kill("SIGINT");
    await once(other, "exit");
    expect(bytes()).toEqual(before);
  });

  it("warns of plans that missed their tolerance", async () => {
    const routers = [
      { kind: "sinkhorn", epsilon: 1e-3, tolerance: 1e-9 },
      { kind: "sinkhorn", label: "few", maxIterations: 0 },
      { kind: "ssr", select: { mode: "every", n: 1 }, tolerance: 0 },
    ];
    const folder = folderWith({ routers, sweep: { topK: [1, 2] } });
    const { code, stderr, stdout } = await runInProcess(words, folder);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: plans missed their tolerance in 4 rows/m);
    expect(stdout).toMatch(/^Note: plans missed their tolerance in 8 rows .*, as settings ask for\.$/m);
  });

  it("runs a cell anew that another version of moesim wrote", async () => {
    const folder = folderWith({ sweep: { topK: [1, 2] }, seeds: undefined });
    await runInProcess(words, folder);
    const record = (cell: number) => path.join(folder, `out/cells/${cell}/run.json`);
    const before = readFileSync(record(0), "utf8");
    const { versions, ...others } = JSON.parse(readFileSync(record(1), "utf8"));
    writeFileSync(record(1), JSON.stringify({ ...others, versions: { ...versions, moesim: "0.0.1" } }));
    expect(await runInProcess([...words, "--resume"], folder)).toMatchObject({ code: 0, stderr: "" });
    const after = JSON.parse(readFileSync(record(1), "utf8"));
    expect(after.versions).toEqual(versions);
    expect(after.end).not.toBe(others.end);
    expect(readFileSync(record(0), "utf8")).toBe(before);
  });

  it("takes a folder for a cell that was not finished where all in it is named as a cell's files are", async () => {
    const folder = folderWith({ sweep: { topK: [1, 2] }, seeds: undefined });
    const cell = path.join(folder, "out/cells/1");
    mkdirSync(cell, { recursive: true });
    writeFileSync(path.join(cell, "steps.csv"), "half a");
    expect(await runInProcess([...words, "--resume"], folder)).toMatchObject({ code: 0, stderr: "" });
    expect(readCsv(path.join(cell, "steps.csv")).length).toBeGreaterThan(0);
    expect(listFiles(cell)).toEqual(listFiles(path.join(folder, "out/cells/0")));
  });

  it("runs a cell anew whose files are not whole", async () => {
    const folder = folderWith();
    await runInProcess(words, folder);
    const before = summaryOf(folder);
    rmSync(path.join(folder, "out/cells/2/loads.csv"));
    writeFileSync(path.join(folder, "out/cells/3/run.json"), "{");
    const inCell = (file: string) => path.join(folder, "out/cells", file);
    const whole = readFileSync(inCell("4/steps.csv"), "utf8");
    truncateSync(inCell("4/steps.csv"), whole.length - 10);
    // As long as it was.
    const edited = readFileSync(inCell("5/summary.csv"), "utf8");
    writeFileSync(
      inCell("5/summary.csv"),
      edited.replace(/\d(?=,*\n$)/, (digit) => `${9 - Number(digit)}`),
    );
    expect(readFileSync(inCell("5/summary.csv"), "utf8")).not.toBe(edited);
    const ends = (cells: number[]) =>
      cells.map((cell) => JSON.parse(readFileSync(inCell(`${cell}/run.json`), "utf8")).end);
    const [untouched, touched] = [ends([0, 1, 6]), ends([2, 4, 5])];
    expect((await runInProcess([...words, "--resume"], folder)).code).toBe(0);
    expect(existsSync(path.join(folder, "out/cells/2/loads.csv"))).toBe(true);
    expect(readFileSync(inCell("4/steps.csv"), "utf8")).toBe(whole);
    expect(readFileSync(inCell("5/summary.csv"), "utf8")).toBe(edited);
    expect(ends([0, 1, 6])).toEqual(untouched);
    for (const [position, end] of ends([2, 4, 5]).entries()) expect(end).not.toBe(touched[position]);
    expect(summaryOf(folder)).toBe(before);
  });

  it.each([
    [{}, ["--max-cells", "11"], /12 cells.*are more than --max-cells 11 allows/],
    [{ sweep: { topk: [1] } }, [], /topk: unknown key\. Did you mean "topK"/],
    [{ sweep: { topK: [2, 9] } }, [], /topK: 9 is more than the 8 experts/],
    [{ sweep: { topK: [] } }, [], /sweep\.topK/],
    [{ sweep: { name: ["a", "b"] } }, [], /name cannot be swept/],
    [{ seeds: [1, 2, 1] }, [], /seeds: 1 is listed twice/],
    [{ sweep: { topK: [1, 1] } }, [], /sweep\.topK: 1 is listed twice/],
    [{ sweep: { seed: [1, 2] } }, [], /sweep\.seed/],
    [{ sweep: { seed: [1, 2] }, seeds: undefined }, [], /sweep\.seed: list the seeds of a sweep under/],
    [{ sweep: { "__proto__.x": [1] } }, [], /"__proto__" is not a field/],
    [{ sweep: { seeds: [[1], [2]] } }, [], /is the same as another/],
    [
      { sweep: { "routers.alf-lb.updateRate": [0.1], "routers.1.updateRate": [0.2, 0.3] } },
      [],
      /another path of the sweep/,
    ],
    [{ seeds: [-1] }, [], /seeds\[0\]: -1/],
  ])("refuses %j %j and writes nothing", async (changes, more, message) => {
    const folder = folderWith(changes);
    const { code, stderr } = await runInProcess([...words, ...more], folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(listFiles(folder)).toEqual(["grid.json"]);
  });
});
