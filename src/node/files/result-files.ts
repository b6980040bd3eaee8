import { writeFileSync } from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  cellsOf,
  diagnosticColumns,
  headerOf,
  isTrained,
  loadHeader,
  type RowSource,
  type StepRow,
  type SummaryRow,
  stepColumnsOf,
  summaryColumnsOf,
  type TimingRow,
  timingColumnsOf,
} from "../../core/results/result-columns.ts";
import type { RouterChoice, Scenario } from "../../core/scenario/scenario.ts";
import type { RouterResult } from "../../core/simulation/result.ts";
import { loadSteps } from "../../core/simulation/router-run.ts";
import { trains } from "../../core/simulation/sharing.ts";
import { createCsvFile } from "./csv-file.ts";

/** The names of all files that a run writes. */
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

/** The names of all files that run, sweep or measure write. */
export const resultNames: readonly string[] = Array.from(new Set([...resultFiles, ...sweepFiles]));

/** Writes steps.csv, loads.csv and diagnostics.csv, the rows of one router after those of another. */
export interface StepFiles {
  write(row: StepRow): void;
  /** Writes the `load` `[experts]` of a step to loads.csv. */
  writeLoad(source: RowSource, step: number, load: ArrayLike<number>): void;
  close(): void;
}

/** @param trains whether the stream trains, so that steps.csv has the columns of training */
export function createStepFiles(folder: string, trains: boolean): StepFiles {
  const columns = stepColumnsOf(trains);
  const steps = createCsvFile(path.join(folder, "steps.csv"), headerOf(columns));
  const loads = createCsvFile(path.join(folder, "loads.csv"), loadHeader);
  const diagnostics = createCsvFile(path.join(folder, "diagnostics.csv"), headerOf(diagnosticColumns));
  return {
    write(row) {
      steps.write(cellsOf(columns, row));
      diagnostics.write(cellsOf(diagnosticColumns, row));
    },
    writeLoad({ scenario, router, seed }, step, load) {
      for (let expert = 0; expert < load.length; expert++) {
        loads.write([scenario, router, seed, step, expert, load[expert]]);
      }
    },
    close() {
      for (const file of [steps, loads, diagnostics]) file.close();
    },
  };
}

/** After so many rows a signal or a progress bar gets its turn. */
const rowsPerTurn = 512;

/** Writes steps.csv, loads.csv and diagnostics.csv of a run. */
export async function writeSteps(folder: string, scenario: Scenario, results: readonly RouterResult[]): Promise<void> {
  const files = createStepFiles(folder, trains(scenario));
  const sampled = loadSteps(scenario);
  const { experts } = scenario;
  try {
    for (const { router, steps, series, figureAt } of results) {
      const source = rowSource(scenario, router);
      for (let step = 0; step < steps; step++) {
        files.write({ source, step, figure: (column) => figureAt(step, column) });
        if (step % rowsPerTurn === 0) await setImmediate();
      }
      for (const [row, step] of sampled.entries()) {
        files.writeLoad(source, step, series.loads.subarray(row * experts, (row + 1) * experts));
      }
    }
  } finally {
    files.close();
  }
}

/** Whose rows in the files these are. */
export function rowSource(scenario: Scenario, router: RouterChoice): RowSource {
  return { scenario: scenario.name, router: router.name, kind: router.kind, seed: scenario.seed };
}

/** Writes summary.csv. */
export function writeSummary(folder: string, rows: readonly SummaryRow[]): void {
  const columns = summaryColumnsOf(rows.some(isTrained));
  const file = createCsvFile(path.join(folder, "summary.csv"), headerOf(columns));
  for (const row of rows) file.write(cellsOf(columns, row));
  file.close();
}

/** Writes timing.csv. */
export function writeTiming(folder: string, rows: readonly TimingRow[]): void {
  const columns = timingColumnsOf(rows.some(({ timing }) => timing.trainMs !== null));
  const file = createCsvFile(path.join(folder, "timing.csv"), headerOf(columns));
  for (const row of rows) file.write(cellsOf(columns, row));
  file.close();
}

/** Writes run.json: the resolved scenario, and with which program and when it was run. */
export function writeRunRecord(folder: string, record: object): void {
  writeFileSync(path.join(folder, "run.json"), `${JSON.stringify(record, null, 2)}\n`);
}
