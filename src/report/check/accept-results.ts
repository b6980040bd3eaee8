import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { checkOutputFile } from "../output-folder.ts";
import { openResults } from "../results/results.ts";
import { cellsOf, checkedFilesIn, checkedNames } from "./checked-files.ts";

/** What becomes of a baseline when results are accepted. Paths are relative to the folder. */
export interface Acceptance {
  readonly files: readonly string[];
  /** Files of cells that a smaller sweep no longer has. */
  readonly surplus: readonly string[];
}

/**
 * Plans how the results in `folder` take the place of `baseline`: with the kinds of files that the baseline has, or with
 * all that are checked where there is no baseline yet. Throws `InputError` where `folder` holds no results or lacks one of
 * those files, and where `baseline` is something else than results.
 */
export function planAcceptance(folder: string, baseline: string): Acceptance {
  openResults(folder);
  const exists = existsSync(baseline);
  if (exists && !statSync(baseline).isDirectory()) throw new InputError(`${baseline}: is no folder`);
  const isNew = !exists || readdirSync(baseline).length === 0;
  if (isNew) return { files: checkedFilesIn(folder), surplus: [] };
  checkAreApart(folder, baseline);
  const had = checkedFilesIn(baseline);
  if (!had.includes("summary.csv")) {
    throw new InputError(`${baseline}: holds no results, and something else; name a new folder or an empty one`);
  }
  const inCells = checkedNames.filter((name) => had.some((file) => file.endsWith(path.sep + name)));
  const files = [
    ...checkedNames.filter((name) => had.includes(name)),
    ...cellsOf(folder).flatMap((cell) => inCells.map((name) => path.join(cell, name))),
  ];
  const missing = files.find((file) => !existsSync(path.join(folder, file)));
  if (missing !== undefined) {
    throw new InputError(`${path.join(folder, missing)}: there is no such file, and the baseline has one`);
  }
  return { files, surplus: had.filter((file) => !files.includes(file)) };
}

/**
 * Copies the files of `folder` into `partial`, a folder inside `baseline`, and then moves those of cells into their
 * places. Those of `partial` itself are left for {@link OutputFolder.commit} to move: until all are copied nothing of the
 * baseline changes, and no file is ever half of one and half of the other.
 */
export function acceptResults(folder: string, baseline: string, partial: string, acceptance: Acceptance): void {
  const { files, surplus } = acceptance;
  for (const file of files) checkOutputFile(path.join(baseline, file));
  for (const file of files) {
    mkdirSync(path.dirname(path.join(partial, file)), { recursive: true });
    copyFileSync(path.join(folder, file), path.join(partial, file), constants.COPYFILE_FICLONE);
  }
  const ofCells = files.filter((file) => path.dirname(file) !== ".");
  for (const file of ofCells) mkdirSync(path.dirname(path.join(baseline, file)), { recursive: true });
  for (const file of ofCells) renameSync(path.join(partial, file), path.join(baseline, file));
  for (const file of surplus) rmSync(path.join(baseline, file));
  for (const cell of [...cellsOf(baseline), "cells"]) removeIfEmpty(path.join(baseline, cell));
  rmSync(path.join(partial, "cells"), { recursive: true, force: true });
}

function removeIfEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}

/** Throws `InputError` where both are the same folder: there is nothing to accept. */
function checkAreApart(folder: string, baseline: string): void {
  if (realpathSync(folder) !== realpathSync(baseline)) return;
  throw new InputError(`${folder} and --baseline ${baseline} are the same folder; name two`);
}
