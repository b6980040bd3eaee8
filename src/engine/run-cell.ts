import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import type { KernelBackend } from "../kernels/index.ts";
import { writeRunRecord } from "../report/result-files.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { runRecord } from "./run-record.ts";
import { runScenario } from "./run-scenario.ts";

/** One cell of a sweep, for one thread to run. Plain data. */
export interface CellTask {
  readonly scenario: Scenario;
  readonly scenarioFile: string;
  /** Where the cell's files go; appears whole, or not at all. */
  readonly folder: string;
  /** A folder on the same file system in which the files are made. */
  readonly workFolder: string;
  readonly backend: KernelBackend;
}

/** Runs a cell and writes the same files as a run of its scenario into its folder, in place of an earlier one's. */
export async function runCell({ scenario, scenarioFile, folder, workFolder, backend }: CellTask): Promise<void> {
  const start = new Date();
  const partial = mkdtempSync(path.join(workFolder, "cell-"));
  try {
    const results = await runScenario(scenario, partial, { workers: 1, backend, onProgress: () => undefined });
    writeRunRecord(partial, await runRecord("sweep", scenarioFile, scenario, backend, start, results));
    mkdirSync(path.dirname(folder), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
