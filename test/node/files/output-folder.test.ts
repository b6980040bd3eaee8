import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { openOutputFolder } from "../../../src/node/files/output-folder.ts";
import { listFiles, temporaryFolder } from "../../support/program.ts";

describe("an output folder", () => {
  it("shows its files only when all are whole", () => {
    const folder = path.join(temporaryFolder(), "results", "deep");
    const output = openOutputFolder(folder);
    writeFileSync(path.join(output.staging.files, "a.csv"), "new");
    expect(existsSync(path.join(folder, "a.csv"))).toBe(false);
    output.commit();
    expect(listFiles(folder)).toEqual(["a.csv"]);
  });

  it("leaves nothing of itself when it is discarded", () => {
    const parent = temporaryFolder();
    const output = openOutputFolder(path.join(parent, "results", "deep"));
    writeFileSync(path.join(output.staging.files, "a.csv"), "half");
    output.discard();
    expect(listFiles(parent)).toEqual([]);
  });

  it("leaves what was there when it is discarded, and replaces it when it is not", () => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "a.csv"), "old");
    writeFileSync(path.join(folder, "notes.txt"), "mine");
    for (const end of ["discard", "commit"] as const) {
      const output = openOutputFolder(folder);
      writeFileSync(path.join(output.staging.files, "a.csv"), "new");
      output[end]();
      expect(listFiles(folder)).toEqual(["a.csv", "notes.txt"]);
      expect(readFileSync(path.join(folder, "a.csv"), "utf8")).toBe(end === "commit" ? "new" : "old");
    }
  });

  it("removes what is obsolete, and nothing else", () => {
    const folder = temporaryFolder();
    for (const name of ["summary.csv", "timing.csv", "notes.txt"]) writeFileSync(path.join(folder, name), "old");
    const output = openOutputFolder(folder);
    writeFileSync(path.join(output.staging.files, "summary.csv"), "new");
    output.commit(() => ["timing.csv"]);
    expect(listFiles(folder)).toEqual(["notes.txt", "summary.csv"]);
  });

  it("is as it was if a folder is in the place of a file", () => {
    const folder = temporaryFolder();
    for (const name of ["run.json", "summary.csv"]) writeFileSync(path.join(folder, name), "old");
    mkdirSync(path.join(folder, "steps.csv"));
    const output = openOutputFolder(folder);
    for (const name of ["run.json", "steps.csv", "summary.csv"]) {
      writeFileSync(path.join(output.staging.files, name), "new");
    }
    expect(() => output.commit()).toThrow(InputError);
    output.discard();
    expect(listFiles(folder)).toEqual(["run.json", "steps.csv", "summary.csv"]);
    expect(readFileSync(path.join(folder, "summary.csv"), "utf8")).toBe("old");
  });

  it("takes its files into a folder that somebody made meanwhile", () => {
    const folder = path.join(temporaryFolder(), "out");
    const output = openOutputFolder(folder);
    writeFileSync(path.join(output.staging.files, "summary.csv"), "new");
    mkdirSync(folder);
    writeFileSync(path.join(folder, "notes.txt"), "mine");
    output.commit();
    expect(listFiles(path.dirname(folder))).toEqual(["out", "out/notes.txt", "out/summary.csv"]);
  });

  it("does not throw when it is discarded after somebody removed it", () => {
    const folder = temporaryFolder();
    const output = openOutputFolder(folder);
    rmSync(folder, { recursive: true });
    expect(output.discard()).toBe(false);
  });

  it.each(["a new folder", "a folder that exists"])("lets one program at a time write into %s", (kind) => {
    const folder = path.join(temporaryFolder(), "out");
    if (kind !== "a new folder") mkdirSync(folder);
    const output = openOutputFolder(folder);
    expect(() => openOutputFolder(folder)).toThrow(
      `out: process ${process.pid} appears to be still running and writing there; wait until it has ended, or stop it`,
    );
    output.discard();
    openOutputFolder(folder).discard();
  });

  it("takes the lock of a process that is gone, and of one whose number another process has now", () => {
    const folder = temporaryFolder();
    const { pid } = spawnSync(process.execPath, ["--version"]);
    // Process 1 runs, and did not begin at tick 7.
    for (const owner of [`owner-${pid}-7-a`, "owner-1-7-a"]) {
      mkdirSync(path.join(folder, ".moesim"));
      writeFileSync(path.join(folder, ".moesim", owner), "");
      const output = openOutputFolder(folder);
      writeFileSync(path.join(output.staging.files, "summary.csv"), owner);
      output.commit();
      expect(listFiles(folder)).toEqual(["summary.csv"]);
    }
  });

  it("leaves a folder of that name that is not moesim's", () => {
    const folder = temporaryFolder();
    mkdirSync(path.join(folder, ".moesim"));
    writeFileSync(path.join(folder, ".moesim/mine.txt"), "");
    expect(() => openOutputFolder(folder)).toThrow(/what is here is something else; move it/);
    expect(listFiles(folder)).toEqual([".moesim", ".moesim/mine.txt"]);
  });

  it("refuses a place where no folder can be, and makes none on the way", () => {
    const parent = temporaryFolder();
    writeFileSync(path.join(parent, "file"), "");
    mkdirSync(path.join(parent, "folder"));
    expect(() => openOutputFolder(path.join(parent, "file", "results"))).toThrow(InputError);
    expect(listFiles(parent)).toEqual(["file", "folder"]);
  });
});
