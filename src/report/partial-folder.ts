import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { InputError } from "../core/input-error.ts";

/** A partial folder has the id of its program in its name. */
const partialName = /^\.partial-(\d+)-/;
/** In a partial folder, what its program keeps for a later one to go on from. */
export const checkpointName = "checkpoint";
/** How long a program may take to end, and how often it is looked for. */
const leavingMs = 2000;
const turnMs = 50;
const passName = /^\d+\.pass$/;

/** Makes a folder inside `folder` in which this program prepares what is to go there. */
export function makePartialFolder(folder: string): string {
  return mkdtempSync(path.join(folder, `.partial-${process.pid}-`));
}

/**
 * Takes over the partial folder in `folder` with the latest checkpoint whose program is gone; null where there is none.
 * Throws `InputError` where the only ones belong to programs that are running.
 */
export function claimPartialFolder(folder: string): string | null {
  const held = heldCheckpoints(folder);
  if (held.length === 0) return null;
  let free = held.filter(isFree);
  // A program that was killed just now takes a moment to be gone.
  for (let waitedMs = 0; free.length === 0 && waitedMs < leavingMs; waitedMs += turnMs) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, turnMs);
    free = held.filter(isFree);
  }
  if (free.length === 0) {
    const [{ owner, partial }] = held;
    throw new InputError(
      `${partial}: process ${owner} seems to be still at this run; stop it first. Where that is another program that came ` +
        `to have the number, rename the folder so that it has one that no process has`,
    );
  }
  const age = ({ partial }: PartialFolder) => statSync(path.join(partial, checkpointName)).mtimeMs;
  const { partial } = free.toSorted((a, b) => age(b) - age(a))[0];
  const own = path.join(folder, path.basename(partial).replace(partialName, `.partial-${process.pid}-`));
  renameSync(partial, own);
  return own;
}

/** The file in the folder of a checkpoint for what is kept of the run's pass `index`. */
export function passFile(folder: string, index: number): string {
  return path.join(folder, `${index}.pass`);
}

/** Whether something of at least one pass is kept in `partial`. */
export function holdsCheckpoint(partial: string): boolean {
  const folder = path.join(partial, checkpointName);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return false;
  return readdirSync(folder).some((name) => passName.test(name));
}

/** Removes a partial folder. A program that is killed meanwhile leaves no half of a checkpoint. */
export function removePartialFolder(partial: string): void {
  if (holdsCheckpoint(partial)) renameSync(path.join(partial, checkpointName), path.join(partial, "removed"));
  rmSync(partial, { recursive: true, force: true });
}

/** Removes the partial folders in `folder` whose programs were stopped before they could, all but those with a checkpoint. */
export function removeAbandoned(folder: string): void {
  for (const { owner, partial } of partialFolders(folder)) {
    if (!isRunning(owner) && !holdsCheckpoint(partial)) removePartialFolder(partial);
  }
}

/**
 * Removes the partial folders with a checkpoint in `folder` that something later takes the place of: all but `own`, this
 * program's, and those of other programs that are running.
 */
export function removeCheckpoints(folder: string, own: string | null = null): void {
  for (const partial of heldCheckpoints(folder).filter(isFree)) {
    if (partial.partial !== own) removePartialFolder(partial.partial);
  }
}

interface PartialFolder {
  /** The id of its program. */
  readonly owner: number;
  readonly partial: string;
}

function partialFolders(folder: string): PartialFolder[] {
  return readdirSync(folder).flatMap((name) => {
    const owner = partialName.exec(name)?.[1];
    return owner === undefined ? [] : [{ owner: Number(owner), partial: path.join(folder, name) }];
  });
}

function heldCheckpoints(folder: string): PartialFolder[] {
  return partialFolders(folder).filter(({ partial }) => holdsCheckpoint(partial));
}

/** Whether the program of a checkpoint is gone. An id comes again, in a container as a rule, and may be this program's now. */
function isFree({ owner }: PartialFolder): boolean {
  return owner === process.pid || !isRunning(owner);
}

function isRunning(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch (error) {
    // A program of somebody else's may not be signalled, but it is there.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
