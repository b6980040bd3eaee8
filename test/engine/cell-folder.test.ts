import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { clearCellFolder, isCellFolder, removeCellsFrom, replaceCell } from "../../src/engine/cell-folder.ts";
import { temporaryFolder } from "../support/program.ts";

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

describe("replaceCell", () => {
  it("leaves the new files alone where moesim wrote all that was there", () => {
    const folder = folderOf({ ...filesOfRun("old"), "report.html": page });
    replaceCell(folder, folderOf(filesOfRun("new")));
    expect(readdirSync(folder).sort()).toEqual(runFiles);
    expect(readFileSync(path.join(folder, "steps.csv"), "utf8")).toBe("new steps.csv");
  });

  it("keeps what moesim did not write, and takes away the page of the old files", () => {
    const folder = folderOf({ ...filesOfRun("old"), "report.html": page, "own.txt": "mine", pictures: null });
    replaceCell(folder, folderOf(filesOfRun("new")));
    expect(readdirSync(folder).sort()).toEqual([...runFiles, "own.txt", "pictures"].sort());
    expect(readFileSync(path.join(folder, "own.txt"), "utf8")).toBe("mine");
    for (const name of runFiles.filter((file) => file !== "run.json")) {
      expect(readFileSync(path.join(folder, name), "utf8")).toBe(`new ${name}`);
    }
  });
});

describe("clearCellFolder", () => {
  it("leaves beside what moesim did not write the record alone, by which the folder is still a cell", () => {
    const folder = folderOf({ ...filesOfRun("old"), "report.html": "<p>mine</p>" });
    clearCellFolder(folder);
    expect(readdirSync(folder).sort()).toEqual(["report.html", "run.json"]);
    expect(isCellFolder(folder)).toBe(true);
  });
});

describe("removeCellsFrom", () => {
  it("removes a sweep's cells from the first one on, and no results of a run or of somebody else", () => {
    const cells = temporaryFolder();
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
      mkdirSync(path.join(cells, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(cells, file), text);
    }
    removeCellsFrom(cells, 2);
    expect(readdirSync(cells).sort()).toEqual(["1", "11", "12", "notes"]);
    expect(readFileSync(path.join(cells, "12/summary.csv"), "utf8")).toBe("mine");
  });
});
