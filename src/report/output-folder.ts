import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import path from "node:path";
import { InputError } from "../core/input-error.ts";

/**
 * A folder whose files appear whole or not at all: they are written in a folder beside them and moved into place by
 * {@link OutputFolder.commit}. Until then whatever an earlier run left stays as it was.
 */
export interface OutputFolder {
  /** Where to write: a folder of its own, inside the output folder. */
  readonly partial: string;
  /** Moves the files of `partial` into the output folder, over those of the same names, and removes `partial`. */
  commit(): void;
  /** Removes `partial`, and the output folder if it was made for it. Does nothing after `commit`. */
  discard(): void;
}

/** Prepares the output folder `folder`, making it if need be. Throws `InputError` where nothing can be written. */
export function openOutputFolder(folder: string): OutputFolder {
  let made: string | undefined;
  let partial: string;
  try {
    made = mkdirSync(folder, { recursive: true });
    partial = mkdtempSync(path.join(folder, ".partial-"));
  } catch (error) {
    if (made !== undefined) removeEmptyFolders(folder, made);
    throw new InputError(`${folder}: cannot be written to: ${(error as Error).message}`);
  }
  let open = true;
  return {
    partial,
    commit() {
      for (const name of readdirSync(partial)) renameSync(path.join(partial, name), path.join(folder, name));
      rmSync(partial, { recursive: true });
      open = false;
    },
    discard() {
      if (!open) return;
      rmSync(partial, { recursive: true, force: true });
      if (made !== undefined) removeEmptyFolders(folder, made);
      open = false;
    },
  };
}

/** Removes `folder` and its parents up to `top`, as long as they are empty. */
function removeEmptyFolders(folder: string, top: string): void {
  for (let current = path.resolve(folder); readdirSync(current).length === 0; current = path.dirname(current)) {
    rmdirSync(current);
    if (current === path.resolve(top)) return;
  }
}
