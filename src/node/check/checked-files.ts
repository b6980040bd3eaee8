import { existsSync } from "node:fs";
import path from "node:path";
import { metricColumns } from "../../core/metrics/catalogue.ts";
import {
  diagnosticColumns,
  headerOf,
  loadHeader,
  measuredIntervalColumns,
  metricOfColumn,
  stepColumnsOf,
  summaryColumnsOf,
  variantColumns,
} from "../../core/results/result-columns.ts";
import { cellsIn, sweepFiles } from "../files/results-folder.ts";

const summaryHeader = headerOf(summaryColumnsOf("evaluated"));

/** The files whose numbers are the same on every run, with all columns that they can have. */
const checkedColumns = {
  "summary.csv": summaryHeader,
  "layers.csv": [...summaryHeader, "layer"],
  "steps.csv": headerOf(stepColumnsOf("evaluated")),
  "loads.csv": loadHeader,
  "diagnostics.csv": headerOf(diagnosticColumns),
  "intervals.csv": [...variantColumns, ...measuredIntervalColumns(metricColumns)],
} as const;

/** The names of the files that are checked: all CSV files of a run or a sweep but timing.csv. */
export const checkedNames = Object.keys(checkedColumns) as (keyof typeof checkedColumns)[];

/** The files of a run or a whole sweep with a row for each router (and layer) and seed, whose means over seeds are judged. */
export const judgedNames = ["summary.csv", "layers.csv"] as const;

const keyNames: readonly string[] = ["scenario", "router", "seed", "step", "expert", "layer"];

/** The columns that a tolerance can be set for; an interval has that of its metric. */
export const measuredColumns: readonly string[] = Array.from(
  new Set(
    Object.values(checkedColumns).flatMap((columns) =>
      columns.filter((column) => !keyNames.includes(column) && metricOfColumn(column) === column),
    ),
  ),
);

/** Those of them that have a mean over seeds. */
export const judgedColumns: readonly string[] = measuredColumns.filter((column) => summaryHeader.includes(column));

/**
 * The positions in `header` of the columns that say which row of the checked file it is: scenario, router, seed, step,
 * expert, layer, and the swept parameters. Those are the columns of summary.csv, layers.csv and intervals.csv that only a
 * sweep adds; of a size that is swept, such as `tokens`, it is the second column of that name.
 */
export function keyPositionsOf(file: string, header: readonly string[]): number[] {
  const known = columnsOf(file);
  const hasSwept = [...sweepFiles, ...judgedNames].some((name) => name === path.basename(file));
  const isSwept = (column: string, position: number) => !known.includes(column) || header.indexOf(column) < position;
  return Array.from(header.keys()).filter(
    (position) => keyNames.includes(header[position]) || (hasSwept && isSwept(header[position], position)),
  );
}

/** The key columns that every file written by a run has. */
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
  return ["", ...cellsIn(folder)].flatMap((part) =>
    checkedNames.map((name) => path.join(part, name)).filter((file) => existsSync(path.join(folder, file))),
  );
}
