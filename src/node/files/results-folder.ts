import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readSync,
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
import { isRunRecord, type RunRecord } from "../../core/results/results.ts";
import { hasLayers, type Scenario } from "../../core/scenario/scenario.ts";
import { openRegularFile, readSmallFile } from "./input-file.ts";

/**
 * A folder of results: which files are in it, which of them moesim wrote, and how they appear whole or not at all, wherever
 * the program is killed.
 *
 * Everything is first written into a staging folder: `.NAME.moesim` beside an output folder that does not exist yet,
 * `.moesim` inside one that does. The staging folder is also the lock of the output folder, and is the same for all programs:
 *
 *     owner-PID-START-RANDOM   who holds the lock; another program takes it over by a rename once that process is gone
 *     current/files            what goes into the output folder
 *     current/checkpoint       what `run --resume` and `sweep --resume` continue from
 *     current/work             scratch space on the same file system
 *     earlier/                 an older `current` with a checkpoint, until there is a newer one
 *     commit.json, old/        the journal of a commit into an existing folder, and the files that it replaces
 *
 * A new folder appears by one rename. An existing folder may hold files of others, which must stay, so a commit into it is
 * several renames: the old files go to `old`, summary.csv first; then the new ones come, summary.csv last. The journal lists
 * them. If a rename fails, the commit is undone; if the program is killed, the next one that opens the folder, to write or
 * to read it, completes the commit. Until then summary.csv is missing, so nothing takes a mixed folder for results.
 */

/** The file of a run of several layers, a row per router and layer. */
const layersFile = "layers.csv";

/** The file of a run that places experts on GPUs, a row per router (and layer) and GPU. */
const gpusFile = "gpus.csv";

/** The names of the files that every run writes. */
export const resultFiles = [
  "summary.csv",
  "steps.csv",
  "loads.csv",
  "diagnostics.csv",
  "timing.csv",
  "run.json",
] as const;

/** The names of the files that a sweep writes besides those of its cells. */
export const sweepFiles = ["summary.csv", "intervals.csv"] as const;

/** The file of a sweep's shard: which cells of which sweep are in the folder. */
export const shardFile = "shard.json";

/** The names of all files that run, sweep or measure write. */
export const resultNames: readonly string[] = Array.from(
  new Set([...resultFiles, layersFile, gpusFile, ...sweepFiles, shardFile]),
);

/** Returns the names of the files that a sweep writes besides those of its cells, of which some have several layers or none. */
export function filesOfSweepWith(hasLayers: boolean): readonly string[] {
  const [summary, ...others] = sweepFiles;
  return hasLayers ? [summary, layersFile, ...others] : sweepFiles;
}

/** What a run writes more files for. */
export interface FurtherFiles {
  readonly hasLayers: boolean;
  /** Whether it places experts on GPUs. */
  readonly isPlaced: boolean;
}

/** Returns the names of the files that a run writes. */
export function filesOfRunWith({ hasLayers, isPlaced }: FurtherFiles): readonly string[] {
  const [summary, steps, loads, ...others] = resultFiles;
  return [summary, ...(hasLayers ? [layersFile] : []), steps, loads, ...(isPlaced ? [gpusFile] : []), ...others];
}

/** Returns the names of the files that a run of `scenario` writes. */
export function filesOfScenario(scenario: Pick<Scenario, "layers" | "placement">): readonly string[] {
  return filesOfRunWith({ hasLayers: hasLayers(scenario), isPlaced: scenario.placement !== undefined });
}

/** The page that `report` writes into a folder of results unless told otherwise. */
export const pageFile = "report.html";

/** Marks results as finished. */
const finishFile = "summary.csv";
/** Marks a folder that also holds other things as a sweep cell. */
const recordFile = "run.json";
/** A record of thousands of routers takes a hundredth of this. */
const maxRecordBytes = 1 << 26;
/** Stands in the first lines of a page, before its styles. */
const pageMark = '<meta name="generator" content="moesim ';
const pageHeadBytes = 4096;
/** How every CSV file of results begins. */
const csvStart = "scenario,router,";
const cellName = /^\d+$/;

/** The contents of run.json in `folder`, unchecked; undefined if there is none. Throws `InputError` if it is no JSON file. */
export function readRunJson(folder: string): unknown {
  return readJson(path.join(folder, recordFile));
}

/** The contents of shard.json in `folder`, unchecked; undefined if there is none. Throws `InputError` if it is no JSON file. */
export function readShardJson(folder: string): unknown {
  return readJson(path.join(folder, shardFile));
}

function readJson(file: string): unknown {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readSmallFile(file, maxRecordBytes).toString("utf8"));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${file}: is not JSON`);
  }
}

/** The record that moesim wrote to run.json in `folder`; undefined if there is none or the file is something else. */
export function readRunRecord(folder: string): RunRecord | undefined {
  return readRecord(path.join(folder, recordFile));
}

function readRecord(file: string): RunRecord | undefined {
  try {
    const value = readJson(file);
    return isRunRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The folders of a sweep's cells in `folder`, relative to it, in order: `cells/0`, `cells/1`, … */
export function cellsIn(folder: string): string[] {
  const positions = namesIn(path.join(folder, "cells")).filter((name) => cellName.test(name));
  return positions.sort((a, b) => Number(a) - Number(b)).map((name) => path.join("cells", name));
}

/** The names of the result files in `folder` that moesim wrote, judged by their contents; none if it does not exist. */
export function ownResultFiles(folder: string): string[] {
  return resultNames.filter((name) => {
    const file = path.join(folder, name);
    if (lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) return false;
    return name.endsWith(".csv") ? beginsAsResults(file) : readRecord(file) !== undefined;
  });
}

/** Whether the CSV file `file` has the header that moesim writes. Throws `InputError` if it is no regular file. */
export function beginsAsResults(file: string): boolean {
  return headOf(file, csvStart.length) === csvStart;
}

/**
 * What describes earlier results in `folder` and therefore goes when new ones take its place, relative to it: result files
 * that moesim wrote, the cells that those staged in `files` replace, and the cells of a sweep that are not among `cells`.
 */
export function obsoleteResults(folder: string, files: string, cells: readonly number[]): string[] {
  // Files of these names may be somebody else's: the cells of a sweep are known by their records.
  const isLink = lstatSync(path.join(folder, "cells"), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  const kept = new Set(cells);
  const surplus = (isLink ? [] : cellsIn(folder)).filter((cell) => {
    const place = path.join(folder, cell);
    if (kept.has(Number(path.basename(cell))) || !isCellFolder(place)) return false;
    return readRunRecord(place)?.command === "sweep";
  });
  const replaced = cellsIn(files);
  return [...ownResultFiles(folder), ...[...replaced, ...surplus].flatMap((cell) => obsoleteOfCell(folder, cell))];
}

/**
 * Whether moesim may put a cell's files into `folder`: a folder that is empty, or holds only files that moesim writes into a
 * cell, or has a record that moesim wrote; in that case other files stay.
 */
export function isCellFolder(folder: string): boolean {
  if (!lstatSync(folder).isDirectory()) return false;
  const entries = readdirSync(folder, { withFileTypes: true });
  if (entries.some((entry) => isRunFile(entry.name) && !entry.isFile())) return false;
  return entries.every(({ name }) => isCellFile(folder, name)) || readRunRecord(folder) !== undefined;
}

/**
 * What goes when the cell `cell` of `folder` does, relative to `folder`: the cell's folder; if it also holds files of others,
 * those in it that moesim wrote but run.json, which still marks it as a cell. Nothing if there is no such cell.
 */
function obsoleteOfCell(folder: string, cell: string): string[] {
  const cellFolder = path.join(folder, cell);
  if (lstatSync(cellFolder, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  const names = readdirSync(cellFolder);
  const own = names.filter((name) => isCellFile(cellFolder, name));
  if (own.length === names.length) return [cell];
  return own.filter((name) => name !== recordFile).map((name) => path.join(cell, name));
}

function isRunFile(name: string): boolean {
  return filesOfRunWith({ hasLayers: true, isPlaced: true }).includes(name);
}

function isCellFile(folder: string, name: string): boolean {
  if (isRunFile(name)) return true;
  const file = path.join(folder, name);
  return name === pageFile && lstatSync(file).isFile() && headOf(file, pageHeadBytes).includes(pageMark);
}

/** The text of the first `length` bytes of `file`. Throws `InputError` if it is no regular file. */
function headOf(file: string, length: number): string {
  const descriptor = openRegularFile(file);
  try {
    const head = Buffer.alloc(length);
    return head.toString("utf8", 0, readSync(descriptor, head, 0, length, 0));
  } finally {
    closeSync(descriptor);
  }
}

const stagingName = ".moesim";
const journalName = "commit.json";
const ownerName = /^owner-(\d+)-(\d+)-/;
/** The owner of a staging folder that is kept for a later program. */
const nobody = "owner-0-0-nobody";
/** Staging folders of single files, and what is about to be removed: their process is in the name. */
const leftoverName = /^\.(?:.*\.)?moesim-(\d+)-(\d+)-/;
/** Longer names leave no room for what is put around them; those folders are staged inside themselves. */
const maxBesideBytes = 200;
/** How long to wait for another program, and how often to look. */
const patienceMs = 2000;
const turnMs = 50;
const partName = /^\d+\.part$/;
const cellsMark = "cells";
const sealBytes = 32;

/** What `--resume` can resume: the parts of a run, or the cells of a sweep. */
export type Resumable = "run" | "sweep";

/** Where a command writes before its output folder changes. */
export interface Staging {
  /** The output folder, as the user named it. */
  readonly folder: string;
  /** The staging folder, which contains all others. */
  readonly root: string;
  /** What is written here goes into the output folder. */
  readonly files: string;
  /** Does not exist until something is kept in it. */
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
   * Moves the staged files into the output folder, replacing those of the same names, and removes `obsolete`: paths relative
   * to it. If something other than a file is in the place of a file (`InputError`) or the system refuses, throws and leaves
   * the output folder as it was.
   *
   * @param obsolete called once the output folder can no longer change
   * @param endsCheckpoints whether to remove the checkpoint of an earlier run, if any
   */
  commit(obsolete?: () => readonly string[], endsCheckpoints?: boolean): void;
  /**
   * Removes what was staged and the folders made for it; keeps a checkpoint, and then returns true. Never throws: the next
   * program removes what cannot be removed now. Does nothing after `commit`.
   */
  discard(): boolean;
}

/**
 * Locks the output folder `folder`, which need not exist, and completes or clears up what a killed program left there.
 * Waits up to 2 s for another program. Throws `InputError` if one is still writing there or if nothing can be written.
 *
 * @param resume the kind of checkpoint to continue from, if there is one
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
      // The results are in place; the next program clears up what cannot be cleared up now.
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

/** Completes a commit into `folder` that a killed program left half-done. Throws `InputError` if that fails. */
export function completeCommit(folder: string): void {
  const target = realPath(folder);
  const lock = path.join(target, stagingName);
  if (!existsSync(path.join(lock, journalName))) return;
  try {
    // The new files come last: if all are in place, only clearing up is left, which the next writer does.
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

/** Whether there is a staged checkpoint to resume `kind` from. */
export function holdsCheckpoint({ checkpoint }: Pick<Staging, "checkpoint">, kind: Resumable): boolean {
  return holdsWork(path.dirname(checkpoint), kind);
}

/**
 * Makes the staged cells a checkpoint, so that an interrupted sweep keeps the finished ones; removes those of another sweep or
 * shard that was interrupted here. Throws `InputError` if something else is in the place of one of the `cells`.
 */
export function keepCells({ folder, files, checkpoint }: Staging, cells: readonly number[]): void {
  const place = path.join(folder, "cells");
  if (isThere(place) && !isFolder(place)) {
    throw new InputError(`${place}: a folder for the cells goes here; move what is here or change --out`);
  }
  for (const cell of cells) {
    const cellPlace = path.join(place, String(cell));
    if (!isThere(cellPlace) || isCellFolder(cellPlace)) continue;
    throw new InputError(
      `${cellPlace}: a cell of the sweep goes here, but something else is here; move it or change --out`,
    );
  }
  mkdirSync(checkpoint, { recursive: true });
  writeFileSync(path.join(checkpoint, cellsMark), "");
  const kept = new Set(cells);
  for (const cell of cellsIn(files)) {
    if (!kept.has(Number(path.basename(cell)))) removeWhole(path.join(files, cell));
  }
}

/**
 * Writes `bytes` to the checkpoint file `file`, with their SHA-256, so that if the program or the machine stops meanwhile,
 * the file is either as it was or as it is to be.
 */
export function writeSealed(file: string, bytes: Uint8Array): void {
  const beside = `${file}.new`;
  writeFileSync(beside, Buffer.concat([sealOf(bytes), bytes]), { flush: true });
  renameSync(beside, file);
}

/** Reads what {@link writeSealed} wrote; null if there is no file. Throws `InputError` if it is damaged. */
export function readSealed(file: string): Uint8Array | null {
  let sealed: Uint8Array;
  try {
    sealed = readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new InputError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  const bytes = sealed.subarray(sealBytes);
  if (!sealOf(bytes).equals(sealed.subarray(0, sealBytes))) {
    throw new InputError(`${file}: is damaged; run without --resume to start from the beginning`);
  }
  return bytes;
}

function sealOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** The file of a checkpoint for part `index` of the run. */
export function partFile(checkpoint: string, index: number): string {
  return path.join(checkpoint, `${index}.part`);
}

/** Removes a folder, if it exists, in one step: it is never left half-removed. */
export function removeWhole(folder: string): void {
  if (!existsSync(folder)) return;
  const removed = temporaryName(path.join(path.dirname(folder), stagingName));
  renameSync(folder, removed);
  rmSync(removed, { recursive: true, force: true });
}

/** Whether `name` is that of a staging folder. */
export function isStagingName(name: string): boolean {
  return name === stagingName || leftoverName.test(name);
}

/** Whether `file` is in a staging folder. */
export function isStaged(file: string): boolean {
  return file
    .split(path.sep)
    .some((name) => isStagingName(name) || (name.startsWith(".") && name.endsWith(stagingName)));
}

/** An output file that appears whole or not at all. */
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
 * Prepares the file `file`, or the target if that is a link, and makes its folder if there is none. Throws `InputError` if
 * nothing can be written there.
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

/** Resolves links in a path, of which only the first parts need exist. */
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
    if (!isFolder(target)) throw new Error("it is no folder");
  } else if (isThere(target)) {
    throw new Error("it is a link that leads nowhere");
  }
}

function besideOf(target: string): string {
  return path.join(path.dirname(target), `.${path.basename(target)}${stagingName}`);
}

/** Locks the output folder `target`; adds the folders that it makes to `made`. */
function lockFolder(folder: string, target: string, made: string[]): Place {
  const isLong = Buffer.byteLength(path.basename(target)) > maxBesideBytes;
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

/** Moves the checkpoints in the staging folder `beside` into `lock`, unless that has one, and removes `beside`. */
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

/** Moves what is staged beside the folder `target` into it, because somebody made that folder meanwhile. */
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

/** Prepares `current` for staging: the checkpoint to resume, if there is one, or empty. */
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

/** Empties `current`; a checkpoint in it replaces the earlier one. */
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
  /** Files and folders that go. */
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
        if (!isFolder(place)) {
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

/** Does the rest of a commit. */
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
  giveUp(lock);
}

/** Removes what is staged; a checkpoint of an earlier command stays. */
function giveUp(lock: string): void {
  removeWhole(path.join(lock, "current"));
  clear(lock);
}

/** Whether `current`, of a staging folder, holds something to resume; of `kind`, if one is named. */
function holdsWork(current: string, kind: Resumable | null = null): boolean {
  const names = namesIn(path.join(current, "checkpoint"));
  const holdsParts = names.some((name) => partName.test(name));
  const holdsCells = names.includes(cellsMark) && cellsIn(path.join(current, "files")).length > 0;
  return (holdsParts && kind !== "sweep") || (holdsCells && kind !== "run");
}

/** Gives back a lock, and removes the staging folder unless there is something to resume in it. */
function clear(lock: string): void {
  if (["current", "earlier"].some((name) => holdsWork(path.join(lock, name)))) release(lock);
  else removeLock(lock);
}

/** The names of this process's owner files: the locks that it holds. */
const held = new Set<string>();

/** Takes the lock `lock` of the output folder `folder`; waits for another program to give it back. */
function acquire(lock: string, folder: string): void {
  const own = `owner-${process.pid}-${startOf(process.pid)}-${Math.random().toString(36).slice(2)}`;
  for (let waitedMs = 0; ; ) {
    const owner = ownerOf(lock);
    if (owner === null) {
      // A folder cannot be renamed to one that is not empty, so only one program can put its own here.
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
        // Renaming the dead owner's file succeeds for one program only, and never against a living one.
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
  throw new InputError(`${lock}: moesim stages its files here, but something else is here; move it`);
}

/** Lets others take over the staging folder. */
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

/** Whether the process of a staging folder's owner is gone. This process may have the id of one that is gone. */
function isFree(owner: string): boolean {
  if (owner === nobody) return true;
  const [, id, start] = ownerName.exec(owner)!;
  return Number(id) === process.pid ? !held.has(owner) : !isRunning(Number(id), start);
}

/** Whether the process `id` still runs; if its `start` is known, the one that began then. */
export function isRunning(id: number, start: string = unknownStart): boolean {
  try {
    process.kill(id, 0);
  } catch (error) {
    // Another user's process may not be signalled, but it exists.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const now = startOf(id);
  if (now === endedStart) return false;
  return now === unknownStart || start === unknownStart || now === start;
}

/** Stands for the start of a process if the system does not tell it. */
const unknownStart = "0";
/** Stands for the start of a zombie: a process that has ended, but whose parent has not asked how. */
const endedStart = "1";

/** When the process `id` began, in clock ticks since the machine started: with the id, this identifies a process. */
function startOf(id: number): string {
  try {
    const status = readFileSync(`/proc/${id}/stat`, "utf8");
    // The name of the program, in parentheses, may contain anything.
    const fields = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? endedStart : fields[19];
  } catch {
    return unknownStart;
  }
}

/** Makes a scratch folder in `parent`, and removes those of killed programs there. */
export function makeScratchFolder(parent: string): string {
  removeLeftovers(parent);
  return mkdtempSync(temporaryPrefix(path.join(parent, stagingName)));
}

/** Removes from `folder` what killed programs staged for single files or had begun to remove. */
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
  return isFolder(folder) ? readdirSync(folder) : [];
}

/** Whether `file` is a folder, or a link to one. */
function isFolder(file: string): boolean {
  return existsSync(file) && statSync(file).isDirectory();
}

/** Whether anything is called `file`, even a link that leads nowhere. */
function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

function isEmptyFolder(folder: string): boolean {
  return isFolder(folder) && readdirSync(folder).length === 0;
}

/** Makes `folder` and the folders above it that are missing, and adds them to `made` from the top down. */
function makeFolders(folder: string, made: string[]): void {
  if (existsSync(folder)) return;
  // mkdir's own recursive mode never returns below /proc, and does not tell what it made before it failed.
  makeFolders(path.dirname(folder), made);
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another program, such as another shard, made it meanwhile.
    if ((error as NodeJS.ErrnoException).code === "EEXIST" && isFolder(folder)) return;
    throw error;
  }
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

/** Does `work`, which only clears up the staging folder `lock`, and then releases the lock in any case. */
function clearUp(lock: string, work: () => void): void {
  tryTo(work);
  tryTo(() => release(lock));
}

/** Does `work`, which only clears up: if it fails, the next program does it. */
function tryTo(work: () => void): void {
  try {
    work();
  } catch {
    // The names of leftovers say what they are.
  }
}
