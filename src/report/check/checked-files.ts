import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { diagnosticColumns, headerOf, loadHeader, stepColumns, summaryColumns } from "../result-columns.ts";

/** The files whose numbers are the same on every run, with their columns. */
const checkedColumns = {
  "summary.csv": headerOf(summaryColumns),
  "steps.csv": headerOf(stepColumns),
  "loads.csv": loadHeader,
  "diagnostics.csv": headerOf(diagnosticColumns),
} as const;

/** The names of the files that are checked: all CSV files of a run but timing.csv. */
export const checkedNames = Object.keys(checkedColumns) as (keyof typeof checkedColumns)[];

const keyNames: readonly string[] = ["scenario", "router", "seed", "step", "expert"];

/** The columns that a tolerance can be set for. */
export const measuredColumns: readonly string[] = Array.from(
  new Set(Object.values(checkedColumns).flatMap((columns) => columns.filter((column) => !keyNames.includes(column)))),
);

/**
 * The columns of `header` that say which row of the checked file it is: scenario, router, seed, step, expert, and in
 * summary.csv the swept parameters, which are the columns that no run has.
 */
export function keyColumnsOf(file: string, header: readonly string[]): string[] {
  const known: readonly string[] = checkedColumns["summary.csv"];
  const isSummary = path.basename(file) === "summary.csv";
  return header.filter((column) => keyNames.includes(column) || (isSummary && !known.includes(column)));
}

/** The key columns without which a file is none that a run wrote. */
export function requiredKeys(file: string): string[] {
  return checkedColumns[path.basename(file) as keyof typeof checkedColumns].filter((name) => keyNames.includes(name));
}

/**
 * The checked files that `folder` holds, relative to it: those of the run or the whole sweep, then those of its cells in
 * their order, e.g. `cells/3/steps.csv`.
 */
export function checkedFilesIn(folder: string): string[] {
  return ["", ...cellsOf(folder)].flatMap((part) =>
    checkedNames.map((name) => path.join(part, name)).filter((file) => existsSync(path.join(folder, file))),
  );
}

/** The folders of a sweep's cells, relative to `folder`, in their order. */
export function cellsOf(folder: string): string[] {
  const cells = path.join(folder, "cells");
  if (!existsSync(cells) || !statSync(cells).isDirectory()) return [];
  const positions = readdirSync(cells).filter((name) => /^\d+$/.test(name));
  return positions.sort((a, b) => Number(a) - Number(b)).map((name) => path.join("cells", name));
}
