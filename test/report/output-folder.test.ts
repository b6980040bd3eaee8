import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/core/input-error.ts";
import { openOutputFolder } from "../../src/report/output-folder.ts";
import { listFiles, temporaryFolder } from "../support/program.ts";

describe("an output folder", () => {
  it("shows its files only when all are whole", () => {
    const folder = path.join(temporaryFolder(), "results", "deep");
    const output = openOutputFolder(folder);
    writeFileSync(path.join(output.partial, "a.csv"), "new");
    expect(existsSync(path.join(folder, "a.csv"))).toBe(false);
    output.commit();
    expect(listFiles(folder)).toEqual(["a.csv"]);
  });

  it("leaves nothing of itself when it is discarded", () => {
    const parent = temporaryFolder();
    const output = openOutputFolder(path.join(parent, "results", "deep"));
    writeFileSync(path.join(output.partial, "a.csv"), "half");
    output.discard();
    expect(listFiles(parent)).toEqual([]);
  });

  it("leaves what was there when it is discarded, and replaces it when it is not", () => {
    const folder = temporaryFolder();
    writeFileSync(path.join(folder, "a.csv"), "old");
    writeFileSync(path.join(folder, "notes.txt"), "mine");
    for (const end of ["discard", "commit"] as const) {
      const output = openOutputFolder(folder);
      writeFileSync(path.join(output.partial, "a.csv"), "new");
      output[end]();
      expect(listFiles(folder)).toEqual(["a.csv", "notes.txt"]);
      expect(readFileSync(path.join(folder, "a.csv"), "utf8")).toBe(end === "commit" ? "new" : "old");
    }
  });

  it("removes what is obsolete, and nothing else", () => {
    const folder = temporaryFolder();
    for (const name of ["summary.csv", "timing.csv", "notes.txt"]) writeFileSync(path.join(folder, name), "old");
    const output = openOutputFolder(folder);
    writeFileSync(path.join(output.partial, "summary.csv"), "new");
    output.commit(["timing.csv"]);
    expect(listFiles(folder)).toEqual(["notes.txt", "summary.csv"]);
  });

  it.each(["run.json", "steps.csv"])("has no summary of one run beside the record of another when %s fails", (name) => {
    const folder = temporaryFolder();
    const names = ["run.json", "steps.csv", "summary.csv"];
    for (const each of names) writeFileSync(path.join(folder, each), "old");
    const output = openOutputFolder(folder);
    for (const each of names.filter((other) => other !== name)) writeFileSync(path.join(output.partial, each), "new");
    // A folder cannot take the place of a file.
    mkdirSync(path.join(output.partial, name));
    expect(() => output.commit()).toThrow();
    output.discard();
    expect(listFiles(folder)).toEqual(["run.json", "steps.csv"]);
  });

  it("refuses a place where no folder can be, and makes none on the way", () => {
    const parent = temporaryFolder();
    writeFileSync(path.join(parent, "file"), "");
    mkdirSync(path.join(parent, "folder"));
    expect(() => openOutputFolder(path.join(parent, "file", "results"))).toThrow(InputError);
    expect(listFiles(parent)).toEqual(["file", "folder"]);
  });
});
