import { createReadStream, createWriteStream, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { mean, median, quantile } from "d3-array";
import type { StepRecord } from "../metrics/step-record.ts";
import { createCsvFile } from "./csv-file.ts";
import {
  cellsOf,
  diagnosticColumns,
  headerOf,
  loadHeader,
  type RowSource,
  type SummaryRow,
  stepColumns,
  summaryColumns,
  timingHeader,
} from "./result-columns.ts";

const stepFiles = ["steps", "loads", "diagnostics"] as const;

/** The names of all files that a run writes. */
export const resultFiles = [
  "summary.csv",
  ...stepFiles.map((name) => `${name}.csv`),
  "timing.csv",
  "run.json",
] as const;

/** Writes what one router does, step by step, into part files of its own, so that routers can run side by side. */
export interface StepFiles {
  /** The record may be kept, but not what is overwritten by the next step. */
  write(record: StepRecord): void;
  /** The last call before `close`: `dualRegret` `[steps]` of a router that has it, which is only known at the end. */
  finish(dualRegret: Float64Array | null): void;
  close(): void;
}

/**
 * Opens the part files of the router at `position` among the run's, in `folder`.
 *
 * @param steps the steps to come, of which at most `loadSamples` go to loads.csv: evenly spaced, the last among them
 * @param hasDualRegret whether the rows of steps.csv must wait for it
 */
export function createStepFiles(
  folder: string,
  position: number,
  source: RowSource,
  steps: number,
  loadSamples: number,
  hasDualRegret: boolean,
): StepFiles {
  const [stepFile, loadFile, diagnosticFile] = stepFiles.map((name) =>
    createCsvFile(partFile(folder, name, position), null),
  );
  const sampled = sampledSteps(steps, loadSamples);
  const waiting: StepRecord[] = [];
  return {
    write(record) {
      const row = { source, record, dualRegret: null };
      if (hasDualRegret) waiting.push(record);
      else stepFile.write(cellsOf(stepColumns, row));
      diagnosticFile.write(cellsOf(diagnosticColumns, row));
      if (!sampled.has(record.step)) return;
      for (let expert = 0; expert < record.load.length; expert++) {
        loadFile.write([source.scenario, source.router, source.seed, record.step, expert, record.load[expert]]);
      }
    },
    finish(dualRegret) {
      for (const [step, record] of waiting.entries()) {
        stepFile.write(cellsOf(stepColumns, { source, record, dualRegret: dualRegret?.[step] ?? null }));
      }
    },
    close() {
      for (const file of [stepFile, loadFile, diagnosticFile]) file.close();
    },
  };
}

/** At most `samples` of the steps 0 … `steps` − 1, evenly spaced, the first and the last among them. */
export function sampledSteps(steps: number, samples: number): ReadonlySet<number> {
  const last = steps - 1;
  if (samples === 1) return new Set([last]);
  const count = Math.min(steps, samples);
  return new Set(Array.from({ length: count }, (_, i) => (count === 1 ? last : Math.round((i * last) / (count - 1)))));
}

/** Joins the part files of `routers` routers into steps.csv, loads.csv and diagnostics.csv, routers in their order. */
export async function joinStepFiles(folder: string, routers: number): Promise<void> {
  const headers = { steps: headerOf(stepColumns), loads: loadHeader, diagnostics: headerOf(diagnosticColumns) };
  for (const name of stepFiles) {
    const whole = path.join(folder, `${name}.csv`);
    createCsvFile(whole, headers[name]).close();
    for (let position = 0; position < routers; position++) {
      const part = partFile(folder, name, position);
      await pipeline(createReadStream(part), createWriteStream(whole, { flags: "a" }));
      rmSync(part);
    }
  }
}

function partFile(folder: string, name: string, position: number): string {
  return path.join(folder, `${name}.${position}.part`);
}

/** Writes summary.csv. */
export function writeSummary(folder: string, rows: readonly SummaryRow[]): void {
  const file = createCsvFile(path.join(folder, "summary.csv"), headerOf(summaryColumns));
  for (const row of rows) file.write(cellsOf(summaryColumns, row));
  file.close();
}

export interface TimingRow {
  readonly source: RowSource;
  /** `[steps]`, milliseconds that `route` took. */
  readonly routeMs: readonly number[];
  /** Tokens of all steps together. */
  readonly tokens: number;
}

/** Writes timing.csv. */
export function writeTiming(folder: string, rows: readonly TimingRow[]): void {
  const file = createCsvFile(path.join(folder, "timing.csv"), timingHeader);
  for (const { source, routeMs, tokens } of rows) {
    const seconds = (mean(routeMs)! * routeMs.length) / 1000;
    file.write([
      source.scenario,
      source.router,
      source.seed,
      routeMs.length,
      tokens,
      mean(routeMs)!,
      median(routeMs)!,
      quantile(routeMs, 0.95)!,
      tokens / seconds,
    ]);
  }
  file.close();
}

/** Writes run.json: the resolved scenario, and with which program and when it was run. */
export function writeRunRecord(folder: string, record: object): void {
  writeFileSync(path.join(folder, "run.json"), `${JSON.stringify(record, null, 2)}\n`);
}
