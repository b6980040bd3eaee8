import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { measuredIntervalColumns, metricOfColumn, variantColumns } from "../interval-columns.ts";
import { diagnosticColumns, headerOf, loadHeader, stepColumnsOf, summaryColumnsOf } from "../result-columns.ts";
import { sweepFiles } from "../result-files.ts";
import { metricColumns } from "../results/metric-columns.ts";

/** The files whose numbers are the same on every run, with all columns that they can have. */
const checkedColumns = {
  "summary.csv": headerOf(summaryColumnsOf(true)),
  "steps.csv": headerOf(stepColumnsOf(true)),
  "loads.csv": loadHeader,
  "diagnostics.csv": headerOf(diagnosticColumns),
  "intervals.csv": [...variantColumns, ...measuredIntervalColumns(metricColumns)],
} as const;

/** The names of the files that are checked: all CSV files of a run or a sweep but timing.csv. */
export const checkedNames = Object.keys(checkedColumns) as (keyof typeof checkedColumns)[];

const keyNames: readonly string[] = ["scenario", "router", "seed", "step", "expert"];

/** The columns that a tolerance can be set for; an interval has that of its metric. */
export const measuredColumns: readonly string[] = Array.from(
  new Set(
    Object.values(checkedColumns).flatMap((columns) =>
      columns.filter((column) => !keyNames.includes(column) && metricOfColumn(column) === column),
    ),
  ),
);

/**
 * The columns of `header` that say which row of the checked file it is: scenario, router, seed, step, expert, and in
 * summary.csv and intervals.csv the swept parameters, which are the columns that they do not have by themselves.
 */
export function keyColumnsOf(file: string, header: readonly string[]): string[] {
  const known = columnsOf(file);
  const hasSwept = sweepFiles.some((name) => name === path.basename(file));
  return header.filter((column) => keyNames.includes(column) || (hasSwept && !known.includes(column)));
}

/** The key columns without which a file is none that a run wrote. */
export function requiredKeys(file: string): string[] {
  return columnsOf(file).filter((name) => keyNames.includes(name));
}

function columnsOf(file: string): readonly string[] {
  return checkedColumns[path.basename(file) as keyof typeof checkedColumns];
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
