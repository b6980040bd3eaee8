import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { listFiles, readCsv, temporaryFolder } from "../support/program.ts";
import { runInProcess } from "../support/run-in-process.ts";

const scenario = {
  name: "shared",
  steps: 2,
  tokens: 8,
  experts: 4,
  stream: { kind: "gaussian" },
  routers: [{ kind: "topk" }],
  sweep: { topK: [1, 2] },
};

const runFiles = ["diagnostics.csv", "loads.csv", "run.json", "steps.csv", "summary.csv", "timing.csv"];
const sweepFiles = ["cells", "cells/0", "cells/1", "intervals.csv", "summary.csv"];
const cellFiles = ["0", "1"].flatMap((cell) => runFiles.map((name) => `cells/${cell}/${name}`));

let folder: string;
const out = (...parts: string[]) => path.join(folder, "results/shared", ...parts);
const filesOfSweep = [...sweepFiles, ...cellFiles].sort();

async function program(words: string): Promise<void> {
  expect(await runInProcess(words.split(" "), folder)).toMatchObject({ code: 0, stderr: "" });
}

beforeEach(() => {
  folder = temporaryFolder();
  writeFileSync(path.join(folder, "shared.json"), JSON.stringify(scenario));
  writeFileSync(path.join(folder, "loads.csv"), "1,3\n2,2\n");
});

describe("a folder of results that another command wrote into before", () => {
  it("holds a run alone after a sweep and a run, and a sweep alone after another sweep", async () => {
    await program("sweep shared.json");
    expect(listFiles(out())).toEqual(filesOfSweep);
    await program("run shared.json");
    expect(listFiles(out())).toEqual(runFiles);
    await program("report results/shared --out page.html");
    await program("sweep shared.json");
    expect(listFiles(out())).toEqual(filesOfSweep);
    await program("report results/shared --out page.html");
  });

  it("holds a measurement alone after a run and after a sweep", async () => {
    const measured = runFiles.filter((name) => name !== "timing.csv");
    for (const before of ["run", "sweep"]) {
      await program(`${before} shared.json`);
      await program("measure --loads loads.csv --experts 2 --out results/shared");
      expect(listFiles(out())).toEqual(measured);
      expect(readCsv(out("summary.csv"))[0].router).toBe("recorded");
    }
  });

  it("keeps what moesim did not write, be it called like a file of results", async () => {
    await program("run shared.json");
    const mine: [string, string][] = [
      ["notes.txt", "mine"],
      ["intervals.csv", "from,to\n1,2\n"],
      ["cells/0/own.txt", "mine"],
      ["cells/7/summary.csv", "mine\n"],
      ["cells/notes/steps.csv", "mine\n"],
    ];
    for (const [name, text] of mine) {
      mkdirSync(path.dirname(out(name)), { recursive: true });
      writeFileSync(out(name), text);
    }
    await program("run shared.json");
    for (const [name, text] of mine) expect(readFileSync(out(name), "utf8")).toBe(text);

    rmSync(out("cells"), { recursive: true });
    rmSync(out("timing.csv"));
    writeFileSync(out("steps.csv"), "step,mine\n");
    writeFileSync(out("run.json"), '{"mine":1}');
    symlinkSync(out("notes.txt"), out("timing.csv"));
    await program("sweep shared.json");
    expect(readFileSync(out("steps.csv"), "utf8")).toBe("step,mine\n");
    expect(readFileSync(out("run.json"), "utf8")).toBe('{"mine":1}');
    expect(existsSync(out("timing.csv"))).toBe(true);
    expect(existsSync(out("loads.csv"))).toBe(false);
  });

  it("keeps a run of its own in the place of a cell, and what else is in a cell that goes", async () => {
    await program("sweep shared.json");
    writeFileSync(out("cells/1/own.txt"), "mine");
    await program("run shared.json --out results/shared/cells/5");
    await program("run shared.json");
    const left = ["cells", "cells/1", "cells/1/own.txt", "cells/1/run.json", "cells/5"];
    expect(listFiles(out())).toEqual([...left, ...runFiles.map((name) => `cells/5/${name}`), ...runFiles].sort());
    await program("report results/shared --out page.html");
  });

  it("is as it was where the command that follows fails", async () => {
    await program("sweep shared.json");
    mkdirSync(out("steps.csv"));
    const before = listFiles(out());
    const { code, stderr } = await runInProcess(["run", "shared.json"], folder);
    expect(stderr).toContain("steps.csv: cannot be written to");
    expect(code).toBe(2);
    expect(listFiles(out())).toEqual(before);
  });
});
