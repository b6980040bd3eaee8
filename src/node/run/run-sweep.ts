import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { sum } from "d3-array";
import type { KernelBackend } from "../../core/kernels/index.ts";
import type { ResultTable } from "../../core/results/result-columns.ts";
import { joinLayers, joinSummaries, type Results, type Run, routeMsIn } from "../../core/results/results.ts";
import { intervalTable } from "../../core/results/variants.ts";
import type { DualRegretBasis } from "../../core/results/warnings.ts";
import { hasLayers, type Scenario, toScenarioFile } from "../../core/scenario/scenario.ts";
import type { SweepCell } from "../../core/scenario/sweep.ts";
import { scenarioWork } from "../../core/simulation/sharing.ts";
import { version } from "../../core/version.ts";
import { openRegularFile } from "../files/input-file.ts";
import { filesOfRun, readTable } from "../files/read-results.ts";
import { filesOfRunWith, keepCells, readRunRecord, removeWhole, type Staging } from "../files/results-folder.ts";
import { writeRunRecord, writeTable } from "../files/write-results.ts";
import { dualRegretBases, namingFile, openInput, pluginsOf, runRecord } from "./run-record.ts";
import { type RouterProgress, runScenario } from "./run-scenario.ts";
import { runOnWorkers } from "./worker-pool.ts";

export interface SweepOptions {
  readonly scenarioFile: string;
  /** The command line that runs a cell again; each cell's run.json has it. */
  readonly rerunOf?: (cell: SweepCell) => readonly string[];
  /** Threads to use, at least 1; never more than there are cells. */
  readonly workers: number;
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
 * the sweep is interrupted; summary.csv, a row per cell and router with the swept parameters as further columns; layers.csv,
 * the same by layer, if a cell has several; and intervals.csv, a row per variant. Cells that are resumed from the output folder stay there. Returns the results that are in
 * the output folder once the staged files are. Throws `InputError` if recorded data is bad or changes before the last cell
 * is done, or if something else is in a cell's place.
 */
export async function runSweep(
  cells: readonly SweepCell[],
  staging: Staging,
  { scenarioFile, rerunOf, workers, backend, resume, onProgress }: SweepOptions,
): Promise<Results> {
  // Cells that are taken as they are, or finished early, read the same files as the last one.
  const inputs = await Promise.all(cells.map(({ scenario }) => openInput(scenario)));
  keepCells(staging, cells.length);
  const finished: FinishedCell[] = [];
  const missing: { readonly index: number; readonly task: CellTask }[] = [];
  for (const [index, cell] of cells.entries()) {
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
    else finished[index] = kept;
    if (kept?.folder !== staged) removeWhole(staged);
  }
  const totalWork = sum(missing, ({ task }) => cellWork(task.scenario));
  let progress: SweepProgress = { cells: cells.length - missing.length, work: 0, totalWork };
  const onCellProgress = (latest: CellProgress) => {
    if (latest.cells > 0) removeWhole(staging.earlier);
    progress = { cells: progress.cells + latest.cells, work: progress.work + latest.work, totalWork };
    onProgress(progress);
  };
  if (workers === 1 || missing.length < 2) {
    for (const { index, task } of missing) finished[index] = await runCell(task, onCellProgress);
  } else {
    // The longest first, so that none is left over for one thread when the others have nothing more to do.
    const work = ({ task }: (typeof missing)[number]) => scenarioWork(task.scenario);
    const longestFirst = missing.toSorted((a, b) => work(b) - work(a));
    const tasks = longestFirst.map(({ task }) => task);
    const done = await runOnWorkers<CellTask, FinishedCell, CellProgress>("cell", tasks, workers, onCellProgress);
    for (const [position, { index }] of longestFirst.entries()) finished[index] = done[position];
  }
  for (const input of inputs) await input?.checkSame();
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

/** One cell of a sweep, for one thread to run. Plain data. */
export interface CellTask {
  readonly scenario: Scenario;
  readonly scenarioFile: string;
  /** The command line that runs the cell again, for its run.json. */
  readonly rerun?: readonly string[];
  /** The cell's folder; does not exist yet, and appears whole or not at all. */
  readonly folder: string;
  /** A folder on the same file system in which the files are made. */
  readonly workFolder: string;
  readonly backend: KernelBackend;
}

/** What was done of a sweep since the last report. Plain data. */
export interface CellProgress {
  /** In the unit of `cellWork`. */
  readonly work: number;
  /** Cells finished. */
  readonly cells: number;
}

/** What a cell computed, and where its files are; just computed or read. Plain data. */
interface FinishedCell {
  readonly folder: string;
  readonly summary: ResultTable;
  /** Null if the cell has one layer. */
  readonly layers: ResultTable | null;
  readonly timing: ResultTable;
  readonly dualRegret: readonly DualRegretBasis[];
}

/** The work in a cell, to compare with others: logits to route, over all steps and routers. */
function cellWork({ steps, tokens, experts, routers, layers = [0] }: Scenario): number {
  return layers.length * steps * tokens * experts * routers.length;
}

/** Runs a cell and writes the files of a run into its folder. */
export async function runCell(
  { scenario, scenarioFile, rerun, folder, workFolder, backend }: CellTask,
  onProgress: (progress: CellProgress) => void,
): Promise<FinishedCell> {
  const start = new Date();
  const files = mkdtempSync(path.join(workFolder, "cell-"));
  const onSteps = ({ steps }: RouterProgress) =>
    onProgress({ work: steps * scenario.tokens * scenario.experts, cells: 0 });
  try {
    const { record, run } = await namingFile(scenarioFile, async () => {
      const input = await openInput(scenario);
      const run = await runScenario(scenario, files, { workers: 1, backend, onProgress: onSteps });
      const record = await runRecord("sweep", scenarioFile, scenario, input, backend, start, run.results);
      return { record, run };
    });
    writeRunRecord(files, {
      ...record,
      ...(rerun !== undefined && { rerun }),
      sha256: await cellDigests(files, scenario),
    });
    mkdirSync(path.dirname(folder), { recursive: true });
    renameSync(files, folder);
    onProgress({ work: 0, cells: 1 });
    const { summary, layers, timing } = run;
    return { folder, summary, layers, timing, dualRegret: dualRegretBases(run.results) };
  } catch (error) {
    try {
      rmSync(files, { recursive: true, force: true });
    } catch {
      // The sweep removes its whole staging folder.
    }
    throw error;
  }
}

/**
 * The SHA-256 of each file of the cell in `folder`, as hexadecimal digits, except run.json, which records them. They tell
 * whether a file has been truncated or changed since. Rejects if one is missing.
 */
async function cellDigests(folder: string, scenario: Scenario): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const name of filesOfRunWith(hasLayers(scenario)).filter((file) => file !== "run.json")) {
    const hash = createHash("sha256");
    await pipeline(createReadStream("", { fd: openRegularFile(path.join(folder, name)) }), hash);
    digests[name] = hash.digest("hex");
  }
  return digests;
}

/**
 * Reads the finished cell of the task's very scenario, backend, version and recorded input in `folder`; null if there is none
 * or its files have changed since.
 */
async function readFinished({ scenario, backend }: CellTask, folder: string): Promise<FinishedCell | null> {
  if (filesOfRunWith(hasLayers(scenario)).some((name) => !existsSync(path.join(folder, name)))) return null;
  try {
    const record = readRunRecord(folder);
    if (record === undefined) return null;
    const input = (await openInput(scenario))?.record ?? null;
    const expected = [toScenarioFile(scenario), backend, version, input, pluginsOf().plugins ?? null];
    const found = [record.scenario, record.backend, record.versions.moesim, record.input, record.plugins ?? null];
    if (JSON.stringify(found) !== JSON.stringify(expected)) return null;
    if (JSON.stringify(record.sha256) !== JSON.stringify(await cellDigests(folder, scenario))) return null;
    const read = (name: string) => readTable(path.join(folder, name), []);
    const layers = hasLayers(scenario) ? read("layers.csv") : null;
    const [summary, timing] = ["summary.csv", "timing.csv"].map(read);
    return { folder, summary, layers, timing, dualRegret: filesOfRun(folder, folder).dualRegret() };
  } catch {
    // A cell that cannot be read is run again.
    return null;
  }
}
