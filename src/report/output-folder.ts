import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { InputError } from "../core/input-error.ts";
import {
  checkpointName,
  claimPartialFolder,
  holdsCheckpoint,
  makePartialFolder,
  removeAbandoned,
  removePartialFolder,
} from "./partial-folder.ts";

/** What results are known by to be finished. */
const finishFile = "summary.csv";

/**
 * A folder whose files appear whole or not at all: they are written in a folder beside them and moved into place by
 * {@link OutputFolder.commit}. Until then whatever an earlier run left stays as it was.
 */
export interface OutputFolder {
  /** Where to write: a folder of its own, inside the output folder. */
  readonly partial: string;
  /**
   * Moves the files of `partial` into the output folder, over those of the same names, removes those that are called
   * `obsolete` there, and then `partial`. A summary.csv is taken away first and comes last, so that a program that is
   * killed meanwhile leaves no results that could be taken for finished ones. Throws `InputError`, with nothing moved,
   * where something other than a file stands in the place of one.
   */
  commit(obsolete?: readonly string[]): void;
  /**
   * Removes `partial`, and the folders made for it that are empty; not where there is a checkpoint in it to go on from.
   * Returns whether it stays. Does nothing after `commit`.
   */
  discard(): boolean;
}

/**
 * Prepares the output folder `folder`, making it if need be. Throws `InputError` where nothing can be written.
 *
 * @param resume whether `partial` is to be that of a program that was stopped, if one left a checkpoint
 */
export function openOutputFolder(folder: string, resume = false): OutputFolder {
  const made: string[] = [];
  let partial: string;
  try {
    makeFolders(path.resolve(folder), made);
    removeAbandoned(folder);
    partial = (resume ? claimPartialFolder(folder) : null) ?? makePartialFolder(folder);
  } catch (error) {
    removeEmptyFolders(made);
    if (error instanceof InputError) throw error;
    throw new InputError(`${folder}: cannot be written to: ${(error as Error).message}`);
  }
  let open = true;
  return {
    partial,
    commit(obsolete = []) {
      const names = readdirSync(partial)
        .filter((name) => name !== checkpointName)
        .sort((a, b) => Number(a === finishFile) - Number(b === finishFile));
      for (const name of names) checkOutputFile(path.join(folder, name));
      if (names.includes(finishFile)) rmSync(path.join(folder, finishFile), { force: true });
      for (const name of obsolete) rmSync(path.join(folder, name));
      for (const name of names) renameSync(path.join(partial, name), path.join(folder, name));
      removePartialFolder(partial);
      open = false;
    },
    discard() {
      if (!open || holdsCheckpoint(partial)) return open;
      removePartialFolder(partial);
      removeEmptyFolders(made);
      open = false;
      return false;
    },
  };
}

/**
 * Throws `InputError` where `file` exists and is a folder, a device or anything else that is no regular file, or a link
 * that leads nowhere.
 */
export function checkOutputFile(file: string): void {
  let problem: string | null = null;
  try {
    if (!existsSync(file)) {
      const isLink = lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
      if (isLink) problem = "it is a link that leads nowhere";
    } else if (!statSync(file).isFile()) {
      problem = "it is no regular file";
    }
  } catch (error) {
    problem = (error as Error).message;
  }
  if (problem !== null) throw new InputError(`${file}: cannot be written to: ${problem}`);
}

/** Makes `folder` and the folders above it that are missing, and adds them to `made` from the top down. */
function makeFolders(folder: string, made: string[]): void {
  if (existsSync(folder)) return;
  // Not mkdir's own recursive mode: it never returns below /proc, and does not tell what it made before it failed.
  makeFolders(path.dirname(folder), made);
  mkdirSync(folder);
  made.push(folder);
}

function removeEmptyFolders(made: readonly string[]): void {
  for (const folder of made.toReversed()) {
    if (readdirSync(folder).length > 0) return;
    rmdirSync(folder);
  }
}
