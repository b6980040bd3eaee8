import path from "node:path";
import { range, sum } from "d3-array";
import type { KernelBackend } from "../../core/kernels/index.ts";
import { joinLayers, joinSummaries, type Results, type Run, routeMsIn } from "../../core/results/results.ts";
import { intervalTable } from "../../core/results/variants.ts";
import type { SweepCell } from "../../core/scenario/sweep.ts";
import { scenarioWork } from "../../core/simulation/sharing.ts";
import { filesOfRun } from "../files/read-results.ts";
import { keepCells, removeWhole, type Staging } from "../files/results-folder.ts";
import { writeTable } from "../files/write-results.ts";
import { type CellProgress, type CellTask, cellWork, type FinishedCell, readFinished, runCell } from "./cell.ts";
import { openInput } from "./run-record.ts";
import { runOnThreads } from "./worker-pool.ts";

/** A cell that is to be run. */
export interface MissingCell {
  /** Position in the sweep. */
  readonly index: number;
  readonly task: CellTask;
}

/** Runs cells and returns what they found, in the same order; reports what was done since its last report. */
export type CellRunner = (
  cells: readonly MissingCell[],
  onProgress: (progress: CellProgress) => void,
) => Promise<FinishedCell[]>;

export interface SweepOptions {
  readonly scenarioFile: string;
  /** The command line that runs a cell again; each cell's run.json has it. */
  readonly rerunOf?: (cell: SweepCell) => readonly string[];
  /** Threads to use, at least 1; never more than there are cells. */
  readonly workers: number;
  /** Who runs the cells; by default the threads. */
  readonly run?: CellRunner | undefined;
  readonly backend: KernelBackend;
  /** Whether to take cells that an earlier sweep finished as they are. */
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
 * the sweep is interrupted, and those of {@link writeSweepTables}. Cells that are resumed from the output folder stay there.
 * Returns the results that are in the output folder once the staged files are. Throws `InputError` if recorded data is bad or
 * changes before the last cell is done, or if something else is in a cell's place.
 */
export async function runSweep(cells: readonly SweepCell[], staging: Staging, options: SweepOptions): Promise<Results> {
  const finished = await finishCells(cells, range(cells.length), staging, options);
  return writeSweepTables(cells, finished, staging);
}

/**
 * Runs those cells of a sweep whose positions are in `chosen`, as {@link runSweep} does, and stages no other files. Returns what
 * they found, in the order of `chosen`.
 */
export async function finishCells(
  cells: readonly SweepCell[],
  chosen: readonly number[],
  staging: Staging,
  { scenarioFile, rerunOf, workers, run = runnerHere(workers), backend, resume, onProgress }: SweepOptions,
): Promise<FinishedCell[]> {
  // Cells that are taken as they are, or finished early, read the same files as the last one.
  const inputs = await Promise.all(chosen.map((index) => openInput(cells[index].scenario)));
  keepCells(staging, chosen);
  const finished = new Map<number, FinishedCell>();
  const missing: MissingCell[] = [];
  for (const index of chosen) {
    const cell = cells[index];
    const [staged, present] = [staging.files, staging.folder].map((folder) =>
      path.join(folder, "cells", String(index)),
    );
    const task: CellTask = {
      scenario: cell.scenario,
      scenarioFile,
      ...(rerunOf !== undefined && { rerun: rerunOf(cell) }),
      folder: staged,
      workFolder: staging.work,
      backend,
    };
    const kept = resume ? ((await readFinished(task, staged)) ?? (await readFinished(task, present))) : null;
    if (kept === null) missing.push({ index, task });
    else finished.set(index, kept);
    if (kept?.folder !== staged) removeWhole(staged);
  }
  const totalWork = sum(missing, ({ task }) => cellWork(task.scenario));
  let progress: SweepProgress = { cells: finished.size, work: 0, totalWork };
  const onCellProgress = (latest: CellProgress) => {
    if (latest.cells > 0) removeWhole(staging.earlier);
    progress = { cells: progress.cells + latest.cells, work: progress.work + latest.work, totalWork };
    onProgress(progress);
  };
  const computed = await run(missing, onCellProgress);
  for (const [position, { index }] of missing.entries()) finished.set(index, computed[position]);
  for (const input of inputs) await input?.checkSame();
  return chosen.map((index) => finished.get(index)!);
}

/** Returns who runs cells here, on at most `threads` threads. */
function runnerHere(threads: number): CellRunner {
  return async (cells, onProgress) => {
    // One thread runs the cells in their order, so that the first results are those of the first cells.
    const order = threads === 1 ? range(cells.length) : longestFirst(cells);
    const tasks = order.map((position) => cells[position].task);
    const done = await runOnThreads("cell", tasks, threads, onProgress, runCell);
    const finished: FinishedCell[] = [];
    for (const [turn, position] of order.entries()) finished[position] = done[turn];
    return finished;
  };
}

/** The positions of `cells`, the longest first, so that none is left over for one worker when the others have no more to do. */
export function longestFirst(cells: readonly MissingCell[]): number[] {
  const work = cells.map(({ task }) => scenarioWork(task.scenario));
  return range(cells.length).sort((a, b) => work[b] - work[a]);
}

/**
 * Stages the files of a sweep whose cells are `finished`, in order: summary.csv, a row per cell and router with the swept
 * parameters as further columns; layers.csv, the same by layer, if a cell has several; and intervals.csv, a row per variant.
 * Returns the results that are in the output folder once the staged files are.
 */
export function writeSweepTables(
  cells: readonly SweepCell[],
  finished: readonly FinishedCell[],
  staging: Staging,
): Results {
  const results = sweepResults(cells, finished, staging.folder);
  const layers = finished.flatMap(({ layers }, cell) =>
    layers === null ? [] : [{ table: layers, values: cells[cell].parameters.map(valueText) }],
  );
  const ofLayers = layers.length === 0 ? [] : [joinLayers(layers, results.parameters)];
  for (const table of [results.summary, ...ofLayers, intervalTable(results)]) writeTable(staging.files, table);
  return results;
}

/** The results of a sweep in `folder` whose cells are `finished`. */
function sweepResults(cells: readonly SweepCell[], finished: readonly FinishedCell[], folder: string): Results {
  const parameters = cells[0].parameters.map(({ path: parameter }) => parameter);
  const summaries = finished.map(({ summary }, cell) => ({
    table: summary,
    values: cells[cell].parameters.map(valueText),
  }));
  let row = 0;
  const runs = finished.map(({ summary, timing, dualRegret }, cell): Run => {
    const place = path.join(folder, "cells", String(cell));
    const rows = summary.rows.map(() => row++);
    const known = { routeMs: () => routeMsIn(timing), dualRegret: () => dualRegret };
    return { folder: place, rows, files: { ...filesOfRun(place, folder), ...known } };
  });
  const { name, description } = cells[0].scenario;
  return { folder, name, description, summary: joinSummaries(summaries, parameters), parameters, runs };
}

function valueText({ value }: SweepCell["parameters"][number]): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
