import { existsSync, lstatSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import path from "node:path";
import { isOwnPage, pageFile } from "../report/page-file.ts";
import { resultFiles } from "../report/result-files.ts";
import { readRunRecord } from "../report/results/run-json.ts";

/** By what a folder that holds other things too is known as a cell; stays where those do. */
const recordFile = "run.json";
/** Written last into a folder that is there, since a cell without it is not finished. */
const lastFile = "summary.csv";

/**
 * Whether moesim may put a cell's files into `folder`: it is a folder, and empty, or holds nothing but files that moesim
 * writes into a cell, or such files beside others, which stay.
 */
export function isCellFolder(folder: string): boolean {
  if (!lstatSync(folder).isDirectory()) return false;
  const entries = readdirSync(folder, { withFileTypes: true });
  const names: readonly string[] = resultFiles;
  if (entries.some((entry) => names.includes(entry.name) && !entry.isFile())) return false;
  return entries.every(({ name }) => isOwnFile(folder, name)) || readRunRecord(folder) !== undefined;
}

/**
 * Removes from the cell's folder `folder` what moesim wrote, a page that `report` made of it among that; with the folder
 * itself where it holds nothing else. Where it does, run.json stays too, so that the folder is still known as a cell.
 */
export function clearCellFolder(folder: string): void {
  const own = readdirSync(folder).filter((name) => isOwnFile(folder, name));
  if (own.length === readdirSync(folder).length) rmSync(folder, { recursive: true });
  else for (const name of own) if (name !== recordFile) rmSync(path.join(folder, name));
}

/**
 * Makes the files of the folder `partial` those of the cell `folder`, in the place of an earlier one's. A program that is
 * killed meanwhile leaves the old cell, the new one, or one that is not finished.
 */
export function replaceCell(folder: string, partial: string): void {
  if (existsSync(folder)) clearCellFolder(folder);
  if (!existsSync(folder)) {
    renameSync(partial, folder);
    return;
  }
  const names = readdirSync(partial).filter((name) => name !== lastFile);
  for (const name of [...names, lastFile]) renameSync(path.join(partial, name), path.join(folder, name));
}

/**
 * Removes the cells of a sweep from the results in `folder`, which are those of something else now, and nothing that moesim
 * did not write.
 */
export function removeCells(folder: string): void {
  const cellsFolder = path.join(folder, "cells");
  if (lstatSync(cellsFolder, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  removeCellsFrom(cellsFolder, 0);
  if (readdirSync(cellsFolder).length === 0) rmdirSync(cellsFolder);
}

/**
 * Removes from `cellsFolder` a sweep's cells `first`, `first` + 1, …, known by their records: files of their names may be
 * somebody else's.
 */
export function removeCellsFrom(cellsFolder: string, first: number): void {
  for (const name of readdirSync(cellsFolder)) {
    if (!/^\d+$/.test(name) || Number(name) < first) continue;
    const cell = path.join(cellsFolder, name);
    if (isCellFolder(cell) && readRunRecord(cell)?.command === "sweep") clearCellFolder(cell);
  }
}

function isOwnFile(folder: string, name: string): boolean {
  const names: readonly string[] = resultFiles;
  const file = path.join(folder, name);
  return names.includes(name) || (name === pageFile && lstatSync(file).isFile() && isOwnPage(file));
}
