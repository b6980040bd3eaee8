import { closeSync, lstatSync, readdirSync, readSync } from "node:fs";
import path from "node:path";
import { openRegularFile } from "./input-file.ts";
import { resultFiles, resultNames } from "./result-files.ts";
import { readRunRecord } from "./run-json.ts";

/** The name of the page that `report` writes into a folder of results when it is told no other. */
export const pageFile = "report.html";

/** Stands in the first lines of a page, before its styles. */
const pageMark = '<meta name="generator" content="moesim ';
const pageHeadBytes = 4096;
/** How every CSV file of results begins. */
const csvStart = "scenario,router,";
/** Marks a folder that also holds other things as a sweep cell. */
const recordFile = "run.json";

/** The names of the files of results in `folder` that moesim wrote, judged by their contents; none if it does not exist. */
export function ownResultFiles(folder: string): string[] {
  return resultNames.filter((name) => isOwnResult(folder, name));
}

function isOwnResult(folder: string, name: string): boolean {
  const file = path.join(folder, name);
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) return false;
  if (name.endsWith(".csv")) return beginsAsResults(file);
  return readRunRecord(folder) !== undefined;
}

/** Whether the CSV file `file` has the header that moesim writes, and so is none of another program's. */
export function beginsAsResults(file: string): boolean {
  return headOf(file, csvStart.length) === csvStart;
}

/** Whether the file `file` is a page that moesim made, and so can make again. */
function isOwnPage(file: string): boolean {
  return headOf(file, pageHeadBytes).includes(pageMark);
}

/**
 * Whether moesim may put a cell's files into `folder`: it is a folder, and empty, or holds nothing but files that moesim
 * writes into a cell, or such files beside others, which stay.
 */
export function isCellFolder(folder: string): boolean {
  if (!lstatSync(folder).isDirectory()) return false;
  const entries = readdirSync(folder, { withFileTypes: true });
  const names: readonly string[] = resultFiles;
  if (entries.some((entry) => names.includes(entry.name) && !entry.isFile())) return false;
  return entries.every(({ name }) => isCellFile(folder, name)) || readRunRecord(folder) !== undefined;
}

/**
 * What goes away, relative to `folder`, when the cell `cell` of its sweep is replaced or removed: the cell's folder, or
 * the files in it that moesim wrote, among them a page that `report` made, if it also holds others. Then run.json stays,
 * so that the folder is still known as a cell. Nothing if there is no such cell.
 */
export function obsoleteOfCell(folder: string, cell: string): string[] {
  const cellFolder = path.join(folder, cell);
  if (lstatSync(cellFolder, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  const names = readdirSync(cellFolder);
  const own = names.filter((name) => isCellFile(cellFolder, name));
  if (own.length === names.length) return [cell];
  return own.filter((name) => name !== recordFile).map((name) => path.join(cell, name));
}

/**
 * What goes away, relative to `folder`, when the cells `first`, `first` + 1, … of a sweep there do. Cells are known by
 * their records: files of their names may be somebody else's.
 */
export function obsoleteCells(folder: string, first: number): string[] {
  const cells = path.join(folder, "cells");
  if (lstatSync(cells, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(cells)
    .filter((name) => /^\d+$/.test(name) && Number(name) >= first)
    .filter((name) => isCellFolder(path.join(cells, name)))
    .filter((name) => readRunRecord(path.join(cells, name))?.command === "sweep")
    .flatMap((name) => obsoleteOfCell(folder, path.join("cells", name)));
}

function isCellFile(folder: string, name: string): boolean {
  const names: readonly string[] = resultFiles;
  const file = path.join(folder, name);
  return names.includes(name) || (name === pageFile && lstatSync(file).isFile() && isOwnPage(file));
}

/** The text of the first bytes of `file`, at most `most`. Throws `InputError` if it is no regular file. */
function headOf(file: string, most: number): string {
  const descriptor = openRegularFile(file);
  try {
    const head = Buffer.alloc(most);
    return head.toString("utf8", 0, readSync(descriptor, head, 0, most, 0));
  } finally {
    closeSync(descriptor);
  }
}
