import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import {
  isCellFolder,
  obsoleteResults,
  openOutputFolder,
  readSealed,
  writeSealed,
} from "../../../src/node/files/results-folder.ts";
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
    expect(() => openOutputFolder(folder)).toThrow(/something else is here; move it/);
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

describe("what moesim wrote", () => {
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

  describe("obsoleteResults", () => {
    /** What goes from a sweep's folder when cell 3 is replaced, which holds `files`. */
    function obsoleteWith(files: Readonly<Record<string, string | null>>): string[] {
      const [folder, staged] = [temporaryFolder(), temporaryFolder()];
      mkdirSync(path.join(staged, "cells/3"), { recursive: true });
      mkdirSync(path.join(folder, "cells"));
      renameSync(folderOf(files), path.join(folder, "cells/3"));
      return obsoleteResults(folder, staged, [0, 1, 2, 3]).sort();
    }

    it("lists the whole folder of a replaced cell if moesim wrote all that is in it", () => {
      expect(obsoleteWith({ ...filesOfRun("old"), "report.html": page })).toEqual(["cells/3"]);
    });

    it("lists what moesim wrote beside other files, except the record, which still marks the folder as a cell", () => {
      const names = [...runFiles.filter((name) => name !== "run.json"), "report.html"];
      expect(obsoleteWith({ ...filesOfRun("old"), "report.html": page, "own.txt": "mine", pictures: null })).toEqual(
        names.map((name) => `cells/3/${name}`).sort(),
      );
    });

    it("lists the cells of a larger sweep, and no results of a run or of somebody else", () => {
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
      expect(obsoleteResults(folder, temporaryFolder(), [0, 1]).sort()).toEqual(["cells/10", "cells/2"]);
      const link = temporaryFolder();
      symlinkSync(path.join(folder, "cells"), path.join(link, "cells"));
      expect(obsoleteResults(link, temporaryFolder(), [])).toEqual([]);
    });
  });
});

describe("a file of a checkpoint", () => {
  describe("a sealed file", () => {
    it("gives back its bytes, the last that were written", () => {
      const folder = temporaryFolder();
      const file = path.join(folder, "kept");
      for (const bytes of [Buffer.from("first, and longer"), Buffer.from("second"), Buffer.alloc(0)]) {
        writeSealed(file, bytes);
        expect(readSealed(file)).toEqual(bytes);
      }
      expect(listFiles(folder)).toEqual(["kept"]);
    });

    it("is null where there is none", () => {
      expect(readSealed(path.join(temporaryFolder(), "kept"))).toBeNull();
    });

    it("is refused where a byte is missing, more or another", () => {
      const file = path.join(temporaryFolder(), "kept");
      writeSealed(file, Buffer.from("what is kept"));
      const whole = readFileSync(file);
      const flipped = Buffer.from(whole);
      flipped[40] ^= 1;
      for (const bytes of [whole.subarray(0, -1), Buffer.concat([whole, Buffer.from("!")]), flipped, Buffer.alloc(0)]) {
        writeFileSync(file, bytes);
        expect(() => readSealed(file)).toThrow(InputError);
        expect(() => readSealed(file)).toThrow(`${file}: is damaged`);
      }
    });

    it("is refused where it cannot be read", () => {
      const folder = temporaryFolder();
      expect(() => readSealed(folder)).toThrow(InputError);
    });
  });
});
