import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { isCellFolder, obsoleteCells, obsoleteOfCell } from "../../../src/node/files/own-files.ts";
import { temporaryFolder } from "../../support/program.ts";

const runFiles = ["diagnostics.csv", "loads.csv", "run.json", "steps.csv", "summary.csv", "timing.csv"];
const record = JSON.stringify({ versions: { moesim: "0.1.0" } });
const page = '<!doctype html>\n<html lang="en"><head><meta name="generator" content="moesim 0.1.0"/></head></html>\n';

/** A fresh folder with `files`, by name; null stands for a folder. */
function folderOf(files: Readonly<Record<string, string | null>>): string {
  const folder = path.join(temporaryFolder(), "3");
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    if (text === null) mkdirSync(path.join(folder, name));
    else writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

function filesOfRun(text: string): Record<string, string> {
  return Object.fromEntries(runFiles.map((name) => [name, name === "run.json" ? record : `${text} ${name}`]));
}

describe("isCellFolder", () => {
  it.each([
    ["an empty folder", {}],
    ["a run's files", filesOfRun("old")],
    ["a part of them", { "steps.csv": "" }],
    ["a page that moesim made", { ...filesOfRun("old"), "run.json": "{", "report.html": page }],
    ["other files beside a run's", { ...filesOfRun("old"), "report.html": "<p>mine</p>", pictures: null }],
  ])("takes %s for a cell", (_, files) => {
    expect(isCellFolder(folderOf(files))).toBe(true);
  });

  it.each([
    ["other files", { "own.txt": "mine" }],
    ["a page of somebody else's", { "report.html": "<p>mine</p>" }],
    ["other files beside results without a record", { "summary.csv": "", "own.txt": "mine" }],
    ["other files beside a record that is none", { "run.json": "{", "own.txt": "mine" }],
    ["other files beside another program's record", { "run.json": '{"versions":null}', "own.txt": "mine" }],
    ["a folder in the place of a file", { ...filesOfRun("old"), "timing.csv": null }],
  ])("does not take %s for a cell", (_, files) => {
    expect(isCellFolder(folderOf(files))).toBe(false);
  });

  it("does not take a link for a cell, wherever it leads", () => {
    const link = path.join(temporaryFolder(), "link");
    symlinkSync(folderOf(filesOfRun("old")), link);
    expect(isCellFolder(link)).toBe(false);
  });
});

describe("obsoleteOfCell", () => {
  it("is the whole folder if moesim wrote all that is in it", () => {
    const folder = folderOf({ ...filesOfRun("old"), "report.html": page });
    expect(obsoleteOfCell(path.dirname(folder), "3")).toEqual(["3"]);
  });

  it("is what moesim wrote beside what it did not, but for the record, by which the folder is still a cell", () => {
    const folder = folderOf({ ...filesOfRun("old"), "report.html": page, "own.txt": "mine", pictures: null });
    const names = [...runFiles.filter((name) => name !== "run.json"), "report.html"];
    expect(obsoleteOfCell(path.dirname(folder), "3").sort()).toEqual(names.map((name) => `3/${name}`).sort());
    expect(obsoleteOfCell(path.dirname(folder), "4")).toEqual([]);
  });
});

describe("obsoleteCells", () => {
  it("are a sweep's cells from the first one on, and no results of a run or of somebody else", () => {
    const folder = temporaryFolder();
    const recordOf = (command: string) => JSON.stringify({ command, versions: { moesim: "0.1.0" } });
    const files = {
      "1/run.json": recordOf("sweep"),
      "2/run.json": recordOf("sweep"),
      "2/summary.csv": "scenario,router,",
      "10/run.json": recordOf("sweep"),
      "11/run.json": recordOf("run"),
      "12/summary.csv": "mine",
      "notes/run.json": recordOf("sweep"),
    };
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(path.join(folder, "cells", path.dirname(file)), { recursive: true });
      writeFileSync(path.join(folder, "cells", file), text);
    }
    expect(obsoleteCells(folder, 2).sort()).toEqual(["cells/10", "cells/2"]);
  });
});
