import { existsSync } from "node:fs";
import path from "node:path";
import { metricColumns } from "../../core/metrics/catalogue.ts";
import {
  diagnosticColumns,
  gpusHeader,
  headerOf,
  loadHeader,
  measuredIntervalColumns,
  metricOfColumn,
  stepColumnsOf,
  summaryColumnsOf,
  variantColumns,
  withLayer,
} from "../../core/results/result-columns.ts";
import { cellsIn, sweepFiles } from "../files/results-folder.ts";

const summaryHeader = headerOf(summaryColumnsOf("evaluated", true, true));

/** The files whose numbers are the same on every run, with all columns they can have. */
const checkedColumns = {
  "summary.csv": summaryHeader,
  "layers.csv": headerOf(withLayer(summaryColumnsOf("evaluated", false, true))),
  "steps.csv": headerOf(stepColumnsOf("evaluated", true)),
  "loads.csv": loadHeader,
  "gpus.csv": gpusHeader,
  "diagnostics.csv": headerOf(diagnosticColumns()),
  "intervals.csv": [...variantColumns, ...measuredIntervalColumns(metricColumns)],
} as const;

/** The names of the files that are checked: all CSV files of a run or a sweep but timing.csv. */
export const checkedNames = Object.keys(checkedColumns) as (keyof typeof checkedColumns)[];

/** The files of a run or a whole sweep whose means over seeds are judged: a row per router (and layer) and seed. */
export const judgedNames = ["summary.csv", "layers.csv"] as const;

const keyNames: readonly string[] = ["scenario", "router", "seed", "step", "expert", "gpu", "layer"];

/** The columns that can have a tolerance; an interval has that of its metric. */
export const measuredColumns: readonly string[] = Array.from(
  new Set(
    Object.values(checkedColumns).flatMap((columns) =>
      columns.filter((column) => !keyNames.includes(column) && metricOfColumn(column) === column),
    ),
  ),
);

/** The measured columns that have a mean over seeds. */
export const judgedColumns: readonly string[] = measuredColumns.filter((column) => summaryHeader.includes(column));

/**
 * The positions in `header` of the columns that identify a row of the checked file: scenario, router, seed, step, expert,
 * GPU, layer, and the swept parameters, which a sweep adds to summary.csv, layers.csv and intervals.csv. If a size such as
 * `tokens` is swept, it is the second column of that name.
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
 * The checked files in `folder`, relative to it: those of the run or the whole sweep, then those of its cells in order,
 * e.g. `cells/3/steps.csv`.
 */
export function checkedFilesIn(folder: string): string[] {
  return ["", ...cellsIn(folder)].flatMap((part) =>
    checkedNames.map((name) => path.join(part, name)).filter((file) => existsSync(path.join(folder, file))),
  );
}
