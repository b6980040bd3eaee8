import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { parse } from "csv-parse/sync";
import type { KernelBackend } from "../kernels/index.ts";
import { createCsvFile } from "../report/csv-file.ts";
import { headerOf, summaryColumns } from "../report/result-columns.ts";
import { resultFiles } from "../report/result-files.ts";
import { toScenarioFile } from "../scenario/scenario.ts";
import type { SweepCell } from "../scenario/sweep.ts";
import { version } from "../version.ts";
import { type CellTask, runCell } from "./run-cell.ts";
import { runOnWorkers } from "./worker-pool.ts";

export interface SweepOptions {
  readonly scenarioFile: string;
  /** Threads to use, at least 1; never more than there are cells. */
  readonly workers: number;
  readonly backend: KernelBackend;
  /** Whether cells that an earlier sweep finished are taken as they are. */
  readonly resume: boolean;
  /** Called with the cells done, those taken from an earlier sweep included. */
  readonly onProgress: (done: number) => void;
}

/**
 * Runs the cells of a sweep into folders of their own, `folder`/cells/0, 1, …, which appear whole or not at all, and then
 * writes `into`/summary.csv from theirs: a row per cell and router, the swept parameters as further columns. Since the
 * rows come from the cells' files, an interrupted sweep that is resumed ends in the same bytes. Throws `InputError` where
 * recorded data is bad.
 */
export async function runSweep(
  cells: readonly SweepCell[],
  folder: string,
  into: string,
  { scenarioFile, workers, backend, resume, onProgress }: SweepOptions,
): Promise<void> {
  const cellsFolder = path.join(folder, "cells");
  const folders = cells.map((_, index) => path.join(cellsFolder, String(index)));
  const tasks = cells
    .map(
      ({ scenario }, index): CellTask => ({
        scenario,
        scenarioFile,
        folder: folders[index],
        workFolder: into,
        backend,
      }),
    )
    .filter((task) => !(resume && isFinished(task)));
  let done = cells.length - tasks.length;
  const onCell = () => onProgress(++done);
  if (workers === 1 || tasks.length < 2) {
    for (const task of tasks) {
      await runCell(task);
      onCell();
    }
  } else {
    await runOnWorkers("cell", tasks, Math.min(workers, tasks.length), onCell);
  }
  removeSurplusCells(cellsFolder, cells.length);
  joinSummaries(cells, folders, into);
}

/** Removes the cells of a larger sweep that was here before, and nothing else. */
function removeSurplusCells(cellsFolder: string, cells: number): void {
  for (const name of readdirSync(cellsFolder)) {
    if (/^\d+$/.test(name) && Number(name) >= cells) rmSync(path.join(cellsFolder, name), { recursive: true });
  }
}

/** Whether the task's folder holds the results of this very scenario, backend and version. */
function isFinished({ folder, scenario, backend }: CellTask): boolean {
  if (!existsSync(folder) || resultFiles.some((name) => !existsSync(path.join(folder, name)))) return false;
  let record: { scenario?: unknown; backend?: unknown; versions?: { moesim?: unknown } };
  try {
    record = JSON.parse(readFileSync(path.join(folder, "run.json"), "utf8"));
  } catch {
    // A record that cannot be read says nothing, and the cell is run anew.
    return false;
  }
  return (
    record.backend === backend &&
    record.versions?.moesim === version &&
    JSON.stringify(record.scenario) === JSON.stringify(toScenarioFile(scenario))
  );
}

function joinSummaries(cells: readonly SweepCell[], folders: readonly string[], into: string): void {
  const paths = cells[0].parameters.map(({ path: parameter }) => parameter);
  const summary = createCsvFile(path.join(into, "summary.csv"), [...headerOf(summaryColumns), ...paths]);
  for (const [index, { parameters }] of cells.entries()) {
    const values = parameters.map(({ value }) => (typeof value === "object" ? JSON.stringify(value) : String(value)));
    const rows: string[][] = parse(readFileSync(path.join(folders[index], "summary.csv")), { from: 2 });
    for (const row of rows) summary.write([...row, ...values]);
  }
  summary.close();
}
