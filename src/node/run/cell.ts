import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import type { KernelBackend } from "../../core/kernels/index.ts";
import type { ResultTable } from "../../core/results/result-columns.ts";
import type { DualRegretBasis } from "../../core/results/warnings.ts";
import { hasLayers, type Scenario, toScenarioFile } from "../../core/scenario/scenario.ts";
import { version } from "../../core/version.ts";
import { digestOfFile } from "../files/input-file.ts";
import { filesOfRun, readTable } from "../files/read-results.ts";
import { filesOfScenario, readRunRecord } from "../files/results-folder.ts";
import { writeRunRecord } from "../files/write-results.ts";
import { dualRegretBases, namingFile, openInput, pluginsOf, runRecord } from "./run-record.ts";
import { type RouterProgress, runScenario } from "./run-scenario.ts";

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
export interface FinishedCell {
  readonly folder: string;
  readonly summary: ResultTable;
  /** Null if the cell has one layer. */
  readonly layers: ResultTable | null;
  readonly timing: ResultTable;
  readonly dualRegret: readonly DualRegretBasis[];
}

/** The work in a cell, to compare with others: logits to route, over all steps and routers. */
export function cellWork({ steps, tokens, experts, routers, layers = [0] }: Scenario): number {
  return layers.length * steps * tokens * experts * routers.length;
}

/** Runs a cell and writes the files of a run into its folder. */
export async function runCell(
  { scenario, scenarioFile, rerun, folder, workFolder, backend }: CellTask,
  onProgress: (progress: CellProgress) => void,
  signal?: AbortSignal,
): Promise<FinishedCell> {
  const start = new Date();
  const files = mkdtempSync(path.join(workFolder, "cell-"));
  const onSteps = ({ steps }: RouterProgress) =>
    onProgress({ work: steps * scenario.tokens * scenario.experts, cells: 0 });
  try {
    const { record, run } = await namingFile(scenarioFile, async () => {
      const input = await openInput(scenario);
      const run = await runScenario(scenario, files, { workers: 1, backend, onProgress: onSteps, signal });
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
export async function cellDigests(
  folder: string,
  scenario: Pick<Scenario, "layers" | "placement">,
): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const name of filesOfScenario(scenario).filter((file) => file !== "run.json")) {
    digests[name] = await digestOfFile(path.join(folder, name));
  }
  return digests;
}

/**
 * Reads the finished cell of the task's very scenario, backend, version and recorded input in `folder`; null if there is none
 * or its files have changed since.
 */
export async function readFinished(
  { scenario, backend }: Pick<CellTask, "scenario" | "backend">,
  folder: string,
): Promise<FinishedCell | null> {
  if (filesOfScenario(scenario).some((name) => !existsSync(path.join(folder, name)))) return null;
  try {
    const record = readRunRecord(folder);
    if (record === undefined) return null;
    const input = (await openInput(scenario))?.record ?? null;
    const expected = [toScenarioFile(scenario), backend, version, input, pluginsOf().plugins ?? null];
    const found = [record.scenario, record.backend, record.versions.moesim, record.input, record.plugins ?? null];
    if (JSON.stringify(found) !== JSON.stringify(expected)) return null;
    if (JSON.stringify(record.sha256) !== JSON.stringify(await cellDigests(folder, scenario))) return null;
    return readTables(folder, hasLayers(scenario));
  } catch {
    // A cell that cannot be read is run again.
    return null;
  }
}

/** Reads the tables of the finished cell in `folder`. Throws `InputError` if one is missing or malformed. */
export function readTables(folder: string, hasSeveralLayers: boolean): FinishedCell {
  const read = (name: string) => readTable(path.join(folder, name), []);
  const layers = hasSeveralLayers ? read("layers.csv") : null;
  const [summary, timing] = ["summary.csv", "timing.csv"].map(read);
  return { folder, summary, layers, timing, dualRegret: filesOfRun(folder, folder).dualRegret() };
}
