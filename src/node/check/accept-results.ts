import { constants, copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { metricColumns } from "../../core/metrics/catalogue.ts";
import { numberOf } from "../../core/results/results.ts";
import { openResults, readTable } from "../files/read-results.ts";
import { beginsAsResults, cellsIn, completeCommit, isStagingName, ownResultFiles } from "../files/results-folder.ts";
import { checkedFilesIn, checkedNames } from "./checked-files.ts";

/** How accepted results replace a baseline. Paths are relative to the folder. */
export interface Acceptance {
  readonly files: readonly string[];
  /** Files of the baseline's earlier results that no new file replaces. */
  readonly surplus: readonly string[];
}

/**
 * Plans how the results in `folder` replace `baseline`: the kinds of files that the baseline has, or all that are checked
 * if there is no baseline yet, and each run.json, which says where the figures come from. A baseline never has timing.csv,
 * because times differ on every run. Throws `InputError` if `folder` has no results, lacks one of those files, or has a
 * figure in its summary that is no finite number, with which nothing can be compared, or if `baseline` holds something
 * else.
 */
export function planAcceptance(folder: string, baseline: string): Acceptance {
  openResults(folder);
  checkFigures(path.join(folder, "summary.csv"));
  const exists = existsSync(baseline);
  if (exists && !statSync(baseline).isDirectory()) throw new InputError(`${baseline}: is no folder`);
  if (exists) completeCommit(baseline);
  const isNew = !exists || readdirSync(baseline).every(isStagingName);
  if (isNew) return { files: [...checkedFilesIn(folder), ...recordsIn(folder, cellsIn(folder))], surplus: [] };
  checkAreApart(folder, baseline);
  const had = checkedFilesIn(baseline);
  const summary = path.join(baseline, "summary.csv");
  if (!had.includes("summary.csv") || (statSync(summary).isFile() && !beginsAsResults(summary))) {
    throw new InputError(`${baseline}: holds no results, and something else; name a new folder or an empty one`);
  }
  const inCells = checkedNames.filter((name) => had.some((file) => file.endsWith(path.sep + name)));
  const cells = inCells.length === 0 ? [] : cellsIn(folder);
  // Only a sweep has intervals, and the baseline may have been one.
  const isTaken = (name: string) => name !== "intervals.csv" || existsSync(path.join(folder, name));
  const checked = [
    ...checkedNames.filter((name) => had.includes(name) && isTaken(name)),
    ...cells.flatMap((cell) => inCells.map((name) => path.join(cell, name))),
  ];
  const missing = checked.find((file) => !existsSync(path.join(folder, file)));
  if (missing !== undefined) {
    throw new InputError(`${path.join(folder, missing)}: there is no such file, and the baseline has one`);
  }
  const files = [...checked, ...recordsIn(folder, cells)];
  const own = ["", ...cellsIn(baseline)].flatMap((part) =>
    ownResultFiles(path.join(baseline, part)).map((name) => path.join(part, name)),
  );
  return { files, surplus: Array.from(new Set([...had, ...own])).filter((file) => !files.includes(file)) };
}

/** Throws `InputError` if a metric in a summary is no finite number, such as 1e400. */
function checkFigures(summary: string): void {
  const table = readTable(summary, []);
  for (const { column } of metricColumns) {
    if (!table.columns.includes(column)) continue;
    for (let row = 0; row < table.rows.length; row++) numberOf(table, row, column);
  }
}

/** The records of the run and of `cells` that `folder` holds, relative to it. */
function recordsIn(folder: string, cells: readonly string[]): string[] {
  return ["", ...cells]
    .map((part) => path.join(part, "run.json"))
    .filter((file) => existsSync(path.join(folder, file)));
}

/**
 * Copies the accepted files of `folder` into `staged`, the staged files of the baseline. Throws `InputError` if one is not
 * a regular file.
 */
export function stageAcceptance(folder: string, staged: string, { files }: Acceptance): void {
  // Copying a pipe would wait for its writer.
  const odd = files.find((file) => !statSync(path.join(folder, file)).isFile());
  if (odd !== undefined) throw new InputError(`${path.join(folder, odd)}: this is no regular file; a file is needed`);
  for (const file of files) {
    mkdirSync(path.dirname(path.join(staged, file)), { recursive: true });
    copyFileSync(path.join(folder, file), path.join(staged, file), constants.COPYFILE_FICLONE);
  }
}

/** Whether a path relative to the results is that of a cell's file, rather than one of the run or the whole sweep. */
export function isOfCell(file: string): boolean {
  return path.dirname(file) !== ".";
}

/** Throws `InputError` if both are the same folder, or the results are a cell of the baseline, which may be removed. */
function checkAreApart(folder: string, baseline: string): void {
  const [from, to] = [realpathSync(folder), realpathSync(baseline)];
  if (from === to) throw new InputError(`${folder} and --baseline ${baseline} are the same folder; name two`);
  if (from.startsWith(path.join(to, "cells") + path.sep)) {
    throw new InputError(`${folder} is a cell of --baseline ${baseline}, in whose place it would go; name two folders`);
  }
}
