import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { sum } from "d3-array";
import { InputError } from "../../core/input-error.ts";
import type { KernelBackend } from "../../core/kernels/index.ts";
import { headerOf, summaryColumnsOf } from "../../core/results/result-columns.ts";
import { toScenarioFile } from "../../core/scenario/scenario.ts";
import type { SweepCell } from "../../core/scenario/sweep.ts";
import { scenarioWork, trains } from "../../core/simulation/sharing.ts";
import { version } from "../../core/version.ts";
import { createCsvFile } from "../files/csv-file.ts";
import { writeIntervals } from "../files/intervals-file.ts";
import { keepCells, removeWhole, type Staging } from "../files/output-folder.ts";
import { isCellFolder } from "../files/own-files.ts";
import { resultFiles } from "../files/result-files.ts";
import { readResultTable } from "../files/result-table.ts";
import { openResults } from "../files/results.ts";
import { readRunRecord } from "../files/run-json.ts";
import { type CellProgress, type CellTask, cellDigests, cellWork, runCell } from "./run-cell.ts";
import { openInput } from "./run-record.ts";
import { runOnWorkers } from "./worker-pool.ts";

export interface SweepOptions {
  readonly scenarioFile: string;
  /** The command line that runs a cell again; each cell's run.json has it. */
  readonly rerunOf?: (cell: SweepCell) => readonly string[];
  /** Threads to use, at least 1; never more than there are cells. */
  readonly workers: number;
  readonly backend: KernelBackend;
  /** Whether cells that an earlier sweep finished are taken as they are. */
  readonly resume: boolean;
  readonly onProgress: (progress: SweepProgress) => void;
}

/** How far a sweep has come. */
export interface SweepProgress {
  /** Cells done, those taken from an earlier sweep included. */
  readonly cells: number;
  /** Of all cells that are run, the `cellWork` done and to do. */
  readonly work: number;
  readonly totalWork: number;
}

/**
 * Runs the cells of a sweep and stages its files: cells/0, 1, …, each of which appears whole or not at all and is kept if
 * the sweep is stopped; summary.csv, made of theirs, a row per cell and router with the swept parameters as further
 * columns; and intervals.csv, a row per variant. Cells that are resumed from the output folder stay there. Since the rows
 * come from the cells' files, an interrupted sweep that is resumed ends in the same bytes. Throws `InputError` if recorded
 * data is bad or changes before the last cell is done, or if something that is no cell is in a cell's place.
 */
export async function runSweep(
  cells: readonly SweepCell[],
  staging: Staging,
  { scenarioFile, rerunOf, workers, backend, resume, onProgress }: SweepOptions,
): Promise<void> {
  const { files } = staging;
  const cellsIn = (folder: string) => cells.map((_, index) => path.join(folder, "cells", String(index)));
  const [staged, present] = [cellsIn(files), cellsIn(staging.folder)];
  checkPlaces(path.join(staging.folder, "cells"), present);
  // Cells that are taken as they are, or finished early, read the same files as the last one.
  const inputs = await Promise.all(cells.map(({ scenario }) => openInput(scenario)));
  keepCells(staging);
  const folders = [...staged];
  const tasks: CellTask[] = [];
  for (const [index, cell] of cells.entries()) {
    const task: CellTask = {
      scenario: cell.scenario,
      scenarioFile,
      ...(rerunOf !== undefined && { rerun: rerunOf(cell) }),
      folder: staged[index],
      workFolder: staging.work,
      backend,
    };
    const finished = resume ? await firstFinished(task, [staged[index], present[index]]) : undefined;
    if (finished === undefined) tasks.push(task);
    else folders[index] = finished;
    if (finished !== staged[index]) removeWhole(staged[index]);
  }
  const totalWork = sum(tasks, ({ scenario }) => cellWork(scenario));
  let progress: SweepProgress = { cells: cells.length - tasks.length, work: 0, totalWork };
  const onCellProgress = (latest: CellProgress) => {
    if (latest.cells > 0) removeWhole(staging.earlier);
    progress = { cells: progress.cells + latest.cells, work: progress.work + latest.work, totalWork };
    onProgress(progress);
  };
  if (workers === 1 || tasks.length < 2) {
    for (const task of tasks) await runCell(task, onCellProgress);
  } else {
    // The longest first, so that none is left over for one thread when the others have nothing more to do.
    const longestFirst = tasks.toSorted((a, b) => scenarioWork(b.scenario) - scenarioWork(a.scenario));
    await runOnWorkers<CellTask, void, CellProgress>("cell", longestFirst, workers, onCellProgress);
  }
  for (const input of inputs) await input?.checkSame();
  removeSurplus(files, cells.length);
  joinSummaries(cells, folders, files);
  writeIntervals(path.join(files, "intervals.csv"), openResults(files, folders));
}

/** Removes the staged cells of a larger sweep that was stopped here before. */
function removeSurplus(files: string, cells: number): void {
  const folder = path.join(files, "cells");
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) if (Number(name) >= cells) removeWhole(path.join(folder, name));
}

/** The first of `folders` that holds the finished cell of `task`. */
async function firstFinished(task: CellTask, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) if (await isFinished({ ...task, folder })) return folder;
  return undefined;
}

/** Throws `InputError` where something stands in the place of `cellsFolder` or of one of its cells `folders`. */
function checkPlaces(cellsFolder: string, folders: readonly string[]): void {
  if (isThere(cellsFolder) && !(existsSync(cellsFolder) && statSync(cellsFolder).isDirectory())) {
    throw new InputError(`${cellsFolder}: a folder for the cells goes here; move what is here or change --out`);
  }
  const occupied = folders.find((folder) => isThere(folder) && !isCellFolder(folder));
  if (occupied !== undefined) {
    throw new InputError(
      `${occupied}: a cell of the sweep goes here, and what is here is none; move it or change --out`,
    );
  }
}

/** Whether anything is called `file`, be it a link that leads nowhere. */
function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

/** Whether the task's folder holds all results of this very scenario, backend, version and recorded input, as they were. */
async function isFinished({ folder, scenario, backend }: CellTask): Promise<boolean> {
  if (resultFiles.some((name) => !existsSync(path.join(folder, name)))) return false;
  try {
    const record = readRunRecord(folder);
    if (record === undefined) return false;
    const expected = [toScenarioFile(scenario), backend, version, (await openInput(scenario))?.record ?? null];
    const found = [record.scenario, record.backend, record.versions.moesim, record.input];
    if (JSON.stringify(found) !== JSON.stringify(expected)) return false;
    return JSON.stringify(record.sha256) === JSON.stringify(await cellDigests(folder));
  } catch {
    // Files that cannot be read say nothing, and the cell is run again.
    return false;
  }
}

function joinSummaries(cells: readonly SweepCell[], folders: readonly string[], into: string): void {
  const paths = cells[0].parameters.map(({ path: parameter }) => parameter);
  const columns = headerOf(summaryColumnsOf(cells.some(({ scenario }) => trains(scenario))));
  const summary = createCsvFile(path.join(into, "summary.csv"), [...columns, ...paths]);
  for (const [index, { parameters }] of cells.entries()) {
    const values = parameters.map(({ value }) => (typeof value === "object" ? JSON.stringify(value) : String(value)));
    const cell = readResultTable(path.join(folders[index], "summary.csv"), []);
    // A cell that does not train lacks the columns of those that do.
    const positions = columns.map((column) => cell.columns.indexOf(column));
    for (const row of cell.rows) summary.write([...positions.map((position) => row[position] ?? null), ...values]);
  }
  summary.close();
}
