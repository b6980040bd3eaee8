import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";

/**
 * Writes a folder of results so that it appears whole or not at all, wherever the program is killed.
 *
 * Everything is first written into a staging folder: `.NAME.moesim` beside a folder that does not exist yet, `.moesim`
 * inside one that does. The staging folder is also the lock of the output folder, and is the same for all programs:
 *
 *     owner-PID-START-RANDOM   who holds the lock; taken over by a rename once that process is gone
 *     current/files            what goes into the output folder
 *     current/checkpoint       what `run --resume` and `sweep --resume` resume from
 *     current/work             scratch space of the same file system
 *     earlier/                 an older `current` with a checkpoint, until there is a newer one
 *     commit.json, old/        the journal of a commit into a folder that exists, and the files that it replaces
 *
 * A new folder appears by one rename. In a folder that exists, files of others must stay and cannot be moved, so a
 * commit is several renames: the old files go to `old`, summary.csv first, and then the new ones come, summary.csv last.
 * The journal lists them. If a rename fails, the commit is undone; if the program is killed, the next one that opens the
 * folder, to write or to read it, completes the commit. Until then summary.csv is missing, and so nothing takes a mixed
 * folder for results.
 */

/** The file by which results are known to be finished. */
const finishFile = "summary.csv";
const stagingName = ".moesim";
const journalName = "commit.json";
const ownerName = /^owner-(\d+)-(\d+)-/;
/** The owner of a staging folder that is kept for a later program. */
const nobody = "owner-0-0-nobody";
/** Staging folders of single files, and what is about to be removed: their process is in the name. */
const leftoverName = /^\.(?:.*\.)?moesim-(\d+)-(\d+)-/;
/** A name leaves this many bytes for what is put around it; longer ones are staged inside their own folder. */
const longestBesideName = 200;
/** How long a program may take to end or to commit, and how often it is looked for. */
const patienceMs = 2000;
const turnMs = 50;
const partName = /^\d+\.part$/;
const cellName = /^\d+$/;
const cellsMark = "cells";

/** What `--resume` can resume: the parts of a run, or the cells of a sweep. */
export type Resumable = "run" | "sweep";

/** Where a command writes before its output folder changes. */
export interface Staging {
  /** The output folder, as the user named it. */
  readonly folder: string;
  /** The staging folder, which all others are in. */
  readonly root: string;
  /** What is written here goes into the output folder. */
  readonly files: string;
  /** Does not exist until somebody makes it. */
  readonly checkpoint: string;
  /** Scratch space on the same file system. */
  readonly work: string;
  /** Holds the checkpoint of an earlier run, to be removed once there is a newer one; may not exist. */
  readonly earlier: string;
}

/** An output folder whose lock this program holds. */
export interface OutputFolder {
  readonly staging: Staging;
  /**
   * Puts the staged files into the output folder, in place of those of the same names, and removes `obsolete`: paths of
   * files or folders relative to it. Throws, with the output folder as it was, if something other than a file is in the
   * place of a file (`InputError`) or the system refuses.
   *
   * @param obsolete called once the output folder can no longer change
   * @param endsCheckpoints whether a checkpoint of an earlier run, if any, is of no use now
   */
  commit(obsolete?: () => readonly string[], endsCheckpoints?: boolean): void;
  /**
   * Gives up: removes what was staged and the folders made for it. A checkpoint stays, and then it returns true. Never
   * throws: whatever cannot be removed is removed by the next program. Does nothing after `commit`.
   */
  discard(): boolean;
}

/**
 * Locks the output folder `folder`, which need not exist, and completes or clears up what a killed program left there.
 * Waits up to 2 s for another program. Throws `InputError` if one is still writing there or if nothing can be written.
 *
 * @param resume whether to stage on top of what a stopped run or sweep has kept, if there is any
 */
export function openOutputFolder(folder: string, resume: Resumable | null = null): OutputFolder {
  const target = realPath(folder);
  const made: string[] = [];
  let place: Place | undefined;
  try {
    checkFolder(target);
    place = lockFolder(folder, target, made);
    prepareCurrent(place.lock, resume);
  } catch (error) {
    const lock = place?.lock;
    if (lock !== undefined) clearUp(lock, () => clear(lock));
    removeEmptyFolders(made);
    if (error instanceof InputError) throw error;
    throw new InputError(`${folder}: cannot be written to: ${(error as Error).message}`);
  }
  let { lock, isInside } = place;
  let isOpen = true;
  return {
    staging: stagingIn(folder, lock),
    commit(obsolete = () => [], endsCheckpoints = false) {
      if (!isInside && existsSync(target)) ({ lock, isInside } = moveInside(folder, target, lock));
      if (isInside) commitInside(target, lock, obsolete(), endsCheckpoints);
      else renameSync(path.join(lock, "current/files"), target);
      // The results are there; what cannot be cleared up now is cleared up by the next program.
      isOpen = false;
      clearUp(lock, () => endCommit(lock, endsCheckpoints));
    },
    discard() {
      if (!isOpen) return false;
      isOpen = false;
      let isKept = false;
      clearUp(lock, () => {
        isKept = holdsWork(path.join(lock, "current"));
        if (existsSync(path.join(lock, journalName)) || isKept) release(lock);
        else giveUp(lock);
      });
      if (!isKept) removeEmptyFolders(made);
      return isKept;
    },
  };
}

/**
 * Completes the commit into `folder` that a killed program left half-done, if any, so that the folder can be read. Throws
 * `InputError` if that cannot be done.
 */
export function completeCommit(folder: string): void {
  const target = realPath(folder);
  const lock = path.join(target, stagingName);
  if (!existsSync(path.join(lock, journalName))) return;
  try {
    // The new files come last: if all are there, only clearing up is left, for whoever writes next.
    const files = path.join(lock, "current/files");
    if (readJournal(lock).new.every((name) => !isThere(path.join(files, name)))) return;
    acquire(lock, folder);
    rollForward(target, lock);
    if (existsSync(lock)) clear(lock);
  } catch (error) {
    if (error instanceof InputError) throw error;
    // A running program ended its commit between two of the lines above.
    if (!existsSync(path.join(lock, journalName))) return;
    throw new InputError(
      `${folder}: a program that was killed left these results half-replaced, and they cannot be completed: ` +
        (error as Error).message,
    );
  }
}

/** Whether `current`, of a staging folder, holds something to resume; of the kind `kind`, if one is named. */
export function holdsWork(current: string, kind: Resumable | null = null): boolean {
  const names = namesIn(path.join(current, "checkpoint"));
  const holdsParts = names.some((name) => partName.test(name));
  const holdsCells = names.includes(cellsMark) && namesIn(path.join(current, "files/cells")).some(isCellName);
  return (holdsParts && kind !== "sweep") || (holdsCells && kind !== "run");
}

/** Declares the cells in `files/cells` to be a checkpoint: a sweep that is stopped keeps those that are finished. */
export function keepCells({ checkpoint }: Staging): void {
  mkdirSync(checkpoint, { recursive: true });
  writeFileSync(path.join(checkpoint, cellsMark), "");
}

/** The file in the folder of a checkpoint that keeps part `index` of the run. */
export function partFile(checkpoint: string, index: number): string {
  return path.join(checkpoint, `${index}.part`);
}

/** Removes a folder, if it exists, in one step: a program that is killed meanwhile leaves no part of it in its place. */
export function removeWhole(folder: string): void {
  if (!existsSync(folder)) return;
  const removed = temporaryName(path.join(path.dirname(folder), stagingName));
  renameSync(folder, removed);
  rmSync(removed, { recursive: true, force: true });
}

/** Whether `name` is that of something that moesim stages files in, and not of a file of the folder it is in. */
export function isStagingName(name: string): boolean {
  return name === stagingName || leftoverName.test(name);
}

/** Whether `file` is in a staging folder. */
export function isStaged(file: string): boolean {
  return file
    .split(path.sep)
    .some((name) => isStagingName(name) || (name.startsWith(".") && name.endsWith(stagingName)));
}

/** A file that appears whole or not at all. */
export interface OutputFile {
  /** The staging folder. */
  readonly root: string;
  /** Where to write the file. */
  readonly staged: string;
  commit(): void;
  /** As {@link OutputFolder.discard}. */
  discard(): void;
}

/**
 * Prepares the file `file`, or the one that a link of that name leads to, making its folder if need be. Throws
 * `InputError` if nothing can be written there.
 */
export function openOutputFile(file: string): OutputFile {
  const target = realPath(file);
  const folder = path.dirname(target);
  const made: string[] = [];
  let staging: string;
  try {
    makeFolders(folder, made);
    removeLeftovers(folder);
    staging = mkdtempSync(temporaryPrefix(path.join(folder, stagingName)));
  } catch (error) {
    removeEmptyFolders(made);
    throw new InputError(`${path.dirname(file)}: cannot be written to: ${(error as Error).message}`);
  }
  const staged = path.join(staging, path.basename(target));
  let isOpen = true;
  return {
    root: staging,
    staged,
    commit() {
      checkOutputFile(target);
      renameSync(staged, target);
      isOpen = false;
      tryTo(() => rmSync(staging, { recursive: true, force: true }));
    },
    discard() {
      if (!isOpen) return;
      isOpen = false;
      tryTo(() => rmSync(staging, { recursive: true, force: true }));
      removeEmptyFolders(made);
    },
  };
}

/**
 * Throws `InputError` if `file` exists and is a folder, a device or anything else that is no regular file, or a link that
 * leads nowhere.
 */
export function checkOutputFile(file: string): void {
  let problem: string | null = null;
  try {
    if (!existsSync(file)) {
      if (isThere(file)) problem = "it is a link that leads nowhere";
    } else if (!statSync(file).isFile()) {
      problem = "it is no regular file";
    }
  } catch (error) {
    problem = (error as Error).message;
  }
  if (problem !== null) throw new InputError(`${file}: cannot be written to: ${problem}`);
}

/** The path without links; the absolute path if nothing is there yet. */
export function realPath(file: string): string {
  if (existsSync(file)) return realpathSync(file);
  const absolute = path.resolve(file);
  const parent = path.dirname(absolute);
  return parent === absolute ? absolute : path.join(realPath(parent), path.basename(absolute));
}

/** A staging folder whose lock this program holds. */
interface Place {
  readonly lock: string;
  /** Whether it is inside the output folder, which exists then. */
  readonly isInside: boolean;
}

function stagingIn(folder: string, lock: string): Staging {
  const current = path.join(lock, "current");
  return {
    folder,
    root: lock,
    files: path.join(current, "files"),
    checkpoint: path.join(current, "checkpoint"),
    work: path.join(current, "work"),
    earlier: path.join(lock, "earlier"),
  };
}

function checkFolder(target: string): void {
  if (existsSync(target)) {
    if (!statSync(target).isDirectory()) throw new Error("it is no folder");
  } else if (isThere(target)) {
    throw new Error("it is a link that leads nowhere");
  }
}

function besideOf(target: string): string {
  return path.join(path.dirname(target), `.${path.basename(target)}${stagingName}`);
}

/** Locks the output folder `target`; adds the folders made for that to `made`. */
function lockFolder(folder: string, target: string, made: string[]): Place {
  const isLong = Buffer.byteLength(path.basename(target)) > longestBesideName;
  const beside = besideOf(target);
  for (;;) {
    makeFolders(isLong ? target : path.dirname(target), made);
    const isInside = existsSync(target);
    const lock = isInside ? path.join(target, stagingName) : beside;
    removeLeftovers(path.dirname(target));
    if (isInside) removeLeftovers(target);
    acquire(lock, folder);
    if (isInside) {
      rollForward(target, lock);
      // Left by a program for which the folder was still to be made.
      if (!isLong && existsSync(beside)) takeFrom(beside, lock, folder);
      ensureHeld(lock, folder);
      return { lock, isInside };
    }
    if (!existsSync(target)) return { lock, isInside };
    // Another program made it meanwhile.
    clear(lock);
  }
}

/** Takes over what is kept in the staging folder `beside`, unless there is such in `lock`, and removes `beside`. */
function takeFrom(beside: string, lock: string, folder: string): void {
  acquire(beside, folder);
  for (const name of ["current", "earlier"]) {
    if (holdsWork(path.join(beside, name)) && !holdsWork(path.join(lock, "current"))) {
      removeWhole(path.join(lock, "current"));
      renameSync(path.join(beside, name), path.join(lock, "current"));
    }
  }
  clear(beside);
}

/** Moves what is staged beside the folder `target`, which somebody made meanwhile, into it. */
function moveInside(folder: string, target: string, beside: string): Place {
  const lock = path.join(target, stagingName);
  acquire(lock, folder);
  rollForward(target, lock);
  ensureHeld(lock, folder);
  keepEarlier(lock);
  renameSync(path.join(beside, "current"), path.join(lock, "current"));
  clear(beside);
  return { lock, isInside: true };
}

/** Makes `current` ready to be staged in: what a stopped program kept, if that is to be resumed, or empty. */
function prepareCurrent(lock: string, resume: Resumable | null): void {
  const current = path.join(lock, "current");
  const earlier = path.join(lock, "earlier");
  if (resume !== null && !holdsWork(current, resume) && holdsWork(earlier, resume)) {
    removeWhole(current);
    renameSync(earlier, current);
  }
  if (resume === null || !holdsWork(current, resume)) keepEarlier(lock);
  removeWhole(path.join(current, "work"));
  for (const name of ["files", "work"]) mkdirSync(path.join(current, name), { recursive: true });
}

/** Empties `current`; the checkpoint in it, if any, takes the place of an earlier one. */
function keepEarlier(lock: string): void {
  const current = path.join(lock, "current");
  if (holdsWork(current)) {
    removeWhole(path.join(lock, "earlier"));
    renameSync(current, path.join(lock, "earlier"));
  }
  removeWhole(current);
}

/** What a commit does, in this order. Paths are relative to the output folder. */
interface Journal {
  /** Files and folders that go away. */
  readonly old: readonly string[];
  /** Staged files and folders that come. */
  readonly new: readonly string[];
  readonly endsCheckpoints: boolean;
}

function commitInside(target: string, lock: string, obsolete: readonly string[], endsCheckpoints: boolean): void {
  const journal = planCommit(target, path.join(lock, "current/files"), obsolete, endsCheckpoints);
  removeWhole(path.join(lock, "old"));
  const file = path.join(lock, journalName);
  writeFileSync(`${file}.new`, JSON.stringify(journal));
  renameSync(`${file}.new`, file);
  try {
    moveFiles(target, lock, journal);
  } catch (error) {
    // If undoing fails as well, the journal stays, and the next program completes the commit.
    tryTo(() => undoCommit(target, lock, journal));
    throw error;
  }
}

function planCommit(target: string, files: string, obsolete: readonly string[], endsCheckpoints: boolean): Journal {
  const old = new Set(obsolete);
  const coming: string[] = [];
  const visit = (folder: string) => {
    for (const entry of readdirSync(path.join(files, folder), { withFileTypes: true })) {
      const name = path.join(folder, entry.name);
      const place = path.join(target, name);
      if (entry.isDirectory() && !old.has(name) && isThere(place)) {
        if (!existsSync(place) || !statSync(place).isDirectory()) {
          throw new InputError(`${place}: cannot be written to: it is no folder`);
        }
        visit(name);
        continue;
      }
      if (isThere(place) && !old.has(name)) {
        checkOutputFile(place);
        old.add(name);
      }
      coming.push(name);
    }
  };
  visit("");
  const finishFirst = (a: string, b: string) => Number(b === finishFile) - Number(a === finishFile);
  return {
    old: Array.from(old).sort(finishFirst),
    new: coming.sort((a, b) => finishFirst(b, a)),
    endsCheckpoints,
  };
}

/** Does what is left to do of a commit. */
function moveFiles(target: string, lock: string, journal: Journal): void {
  const files = path.join(lock, "current/files");
  for (const name of journal.old) {
    const away = path.join(lock, "old", name);
    if (isThere(away) || !isThere(path.join(target, name))) continue;
    mkdirSync(path.dirname(away), { recursive: true });
    renameSync(path.join(target, name), away);
  }
  for (const name of journal.new) {
    if (isThere(path.join(files, name))) renameSync(path.join(files, name), path.join(target, name));
  }
  for (const name of journal.old) {
    for (let folder = path.dirname(name); folder !== "."; folder = path.dirname(folder)) {
      if (!isEmptyFolder(path.join(target, folder))) break;
      rmdirSync(path.join(target, folder));
    }
  }
}

function undoCommit(target: string, lock: string, journal: Journal): void {
  const files = path.join(lock, "current/files");
  for (const name of journal.new) {
    if (!isThere(path.join(files, name))) renameSync(path.join(target, name), path.join(files, name));
  }
  for (const name of journal.old.toReversed()) {
    const away = path.join(lock, "old", name);
    if (!isThere(away)) continue;
    mkdirSync(path.dirname(path.join(target, name)), { recursive: true });
    renameSync(away, path.join(target, name));
  }
  unlinkSync(path.join(lock, journalName));
}

function readJournal(lock: string): Journal {
  return JSON.parse(readFileSync(path.join(lock, journalName), "utf8"));
}

/** Completes a commit that a killed program began. */
function rollForward(target: string, lock: string): void {
  if (!existsSync(path.join(lock, journalName))) {
    removeWhole(path.join(lock, "old"));
    return;
  }
  const journal = readJournal(lock);
  moveFiles(target, lock, journal);
  endCommit(lock, journal.endsCheckpoints);
}

/** Clears up after a commit. */
function endCommit(lock: string, endsCheckpoints: boolean): void {
  if (endsCheckpoints) {
    removeLock(lock);
    return;
  }
  rmSync(path.join(lock, journalName), { force: true });
  removeWhole(path.join(lock, "current"));
  clear(lock);
}

/** Clears up after a command that failed; a checkpoint of an earlier one stays. */
function giveUp(lock: string): void {
  removeWhole(path.join(lock, "current"));
  clear(lock);
}

/** Gives back a lock, and removes the staging folder unless there is something to resume in it. */
function clear(lock: string): void {
  if (["current", "earlier"].some((name) => holdsWork(path.join(lock, name)))) release(lock);
  else removeLock(lock);
}

/** The locks that this process holds, by the names of their owners. */
const held = new Set<string>();

/** Takes the lock `lock`, of the output folder `folder`, at once or when another program lets go of it. */
function acquire(lock: string, folder: string): void {
  const own = `owner-${process.pid}-${startOf(process.pid)}-${Math.random().toString(36).slice(2)}`;
  for (let waitedMs = 0; ; ) {
    const owner = ownerOf(lock);
    if (owner === null) {
      // A folder cannot be renamed to one that holds something, so that only one program can put its own here.
      const fresh = mkdtempSync(temporaryPrefix(lock));
      try {
        writeFileSync(path.join(fresh, own), "");
        renameSync(fresh, lock);
        held.add(own);
        return;
      } catch (error) {
        tryTo(() => rmSync(fresh, { recursive: true, force: true }));
        if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code!)) throw error;
      }
    } else if (isFree(owner)) {
      try {
        // The name is the dead owner's own, so that this succeeds for one program, and never against a living one.
        renameSync(path.join(lock, owner), path.join(lock, own));
        held.add(own);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    } else if (waitedMs >= patienceMs) {
      throw new InputError(
        `${folder}: process ${ownerName.exec(owner)![1]} appears to be still running and writing there; ` +
          "wait until it has ended, or stop it",
      );
    }
    if (waitedMs > 0 || owner !== null) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, turnMs);
    waitedMs += turnMs;
  }
}

/** Takes the lock again if completing a commit gave it back. */
function ensureHeld(lock: string, folder: string): void {
  const owner = ownerOf(lock);
  if (owner === null || !held.has(owner)) acquire(lock, folder);
}

/** The name of the owner in the staging folder `lock`; null if there is none. */
function ownerOf(lock: string): string | null {
  const names = namesIn(lock);
  const owner = names.find((name) => ownerName.test(name));
  if (owner !== undefined) return owner;
  if (names.length === 0) return null;
  throw new InputError(`${lock}: moesim stages its files here, and what is here is something else; move it`);
}

/** Lets others take the staging folder over. */
function release(lock: string): void {
  const owner = ownerOf(lock);
  if (owner === null || !held.delete(owner)) return;
  tryTo(() => renameSync(path.join(lock, owner), path.join(lock, nobody)));
}

function removeLock(lock: string): void {
  const owner = ownerOf(lock);
  const removed = temporaryName(lock);
  renameSync(lock, removed);
  if (owner !== null) held.delete(owner);
  rmSync(removed, { recursive: true, force: true });
}

/** Whether the process of a staging folder's owner is gone. An id may have come again, and be this process's now. */
function isFree(owner: string): boolean {
  if (owner === nobody) return true;
  const [, id, start] = ownerName.exec(owner)!;
  return Number(id) === process.pid ? !held.has(owner) : !isRunning(Number(id), start);
}

/** Whether the process `id` that began at `start` still runs. */
function isRunning(id: number, start: string): boolean {
  try {
    process.kill(id, 0);
  } catch (error) {
    // A process of somebody else's may not be signalled, but it is there.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const now = startOf(id);
  if (now === endedStart) return false;
  return now === unknownStart || start === unknownStart || now === start;
}

/** Where the system does not tell when a process began. */
const unknownStart = "0";
/** A process that has ended, and whose parent has not asked how. */
const endedStart = "1";

/** When the process `id` began, in clock ticks since the machine did: with the id, this tells processes apart. */
function startOf(id: number): string {
  try {
    const status = readFileSync(`/proc/${id}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything.
    const fields = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? endedStart : fields[19];
  } catch {
    return unknownStart;
  }
}

/** Removes from `folder` what programs that are gone staged for single files, or had begun to remove. */
function removeLeftovers(folder: string): void {
  tryTo(() => {
    for (const name of namesIn(folder)) {
      const [, id, start] = leftoverName.exec(name) ?? [];
      if (id === undefined || isRunning(Number(id), start)) continue;
      rmSync(path.join(folder, name), { recursive: true, force: true });
    }
  });
}

function temporaryPrefix(lock: string): string {
  return `${lock}-${process.pid}-${startOf(process.pid)}-`;
}

function temporaryName(lock: string): string {
  return temporaryPrefix(lock) + Math.random().toString(36).slice(2);
}

function namesIn(folder: string): string[] {
  return existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : [];
}

function isCellName(name: string): boolean {
  return cellName.test(name);
}

/** Whether anything is called `file`, be it a link that leads nowhere. */
function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

function isEmptyFolder(folder: string): boolean {
  return existsSync(folder) && statSync(folder).isDirectory() && readdirSync(folder).length === 0;
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
  tryTo(() => {
    for (const folder of made.toReversed()) {
      if (!isEmptyFolder(folder)) return;
      rmdirSync(folder);
    }
  });
}

/** Does `work`, which only clears up the staging folder `lock`, and lets go of it however that ends. */
function clearUp(lock: string, work: () => void): void {
  tryTo(work);
  tryTo(() => release(lock));
}

/** Does what only clears up: if it fails, the next program does it. */
function tryTo(work: () => void): void {
  try {
    work();
  } catch {
    // What is left has a name by which it is known as left over.
  }
}
