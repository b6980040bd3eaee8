import { existsSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { headerOf, summaryColumnsOf } from "../../core/results/result-columns.ts";
import {
  cellOf,
  numberOf,
  type Results,
  type ResultTable,
  type Run,
  type RunFiles,
} from "../../core/results/results.ts";
import { completeCommit } from "./output-folder.ts";
import { readResultTable } from "./result-table.ts";
import { openRows } from "./row-reader.ts";
import { readRunJson } from "./run-json.ts";
import { readLoadSeries, readStepSeries } from "./step-series.ts";

/** The columns of summary.csv that every file of results has had from the first version on. */
const requiredColumns = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global"];

/** Sizes that have a column in every summary, and a second one behind it where they are swept. */
export const sweptSizes = ["steps", "tokens", "experts"];

/**
 * Opens the results in `folder`, which `run`, `sweep` or `measure` wrote. Reads the summary; the larger files are read
 * by whoever needs them. Throws `InputError` if `folder` holds no finished results.
 *
 * @param cellFolders the folders of the cells, if they are not yet `cells/0`, `cells/1`, … of `folder`
 */
export function openResults(folder: string, cellFolders: readonly string[] | null = null): Results {
  checkIsResults(folder);
  const summary = readResultTable(path.join(folder, "summary.csv"), requiredColumns, sweptSizes);
  const known = headerOf(summaryColumnsOf(true));
  const runs = openCells(folder, summary, cellFolders) ?? [
    { folder, rows: summary.rows.map((_, row) => row), files: filesOf(folder, folder) },
  ];
  return {
    folder,
    name: cellOf(summary, 0, "scenario"),
    description: descriptionIn(runs[0].files.record()),
    summary,
    parameters: summary.columns.filter(
      (column, position) => !known.includes(column) || summary.columns.indexOf(column) < position,
    ),
    runs,
  };
}

/** Throws `InputError` if `folder` holds no finished results. Completes those that a killed program left half-replaced. */
export function checkIsResults(folder: string): void {
  if (!existsSync(folder)) throw new InputError(`${folder}: there is no such folder`);
  completeCommit(folder);
  if (!existsSync(path.join(folder, "summary.csv"))) {
    throw new InputError(`${folder}: has no summary.csv, and so no finished results of run, sweep or measure`);
  }
}

/**
 * The cells of a sweep, whose summary lists their rows one after the other; null where there are none, or where a later
 * run into the same folder wrote the summary.
 */
function openCells(folder: string, summary: ResultTable, cellFolders: readonly string[] | null): Run[] | null {
  if (cellFolders === null && !existsSync(path.join(folder, "cells"))) return null;
  const runs: Run[] = [];
  let next = 0;
  while (next < summary.rows.length) {
    const cell = cellFolders?.[runs.length] ?? path.join(folder, "cells", String(runs.length));
    const first = next;
    const { columns, rows } = existsSync(cell)
      ? readResultTable(path.join(cell, "summary.csv"), requiredColumns)
      : { columns: [], rows: [] };
    // The summary has columns besides: the swept values, and those that only other cells have.
    const positions = columns.map((column) => summary.columns.indexOf(column));
    const isJoined = (row: readonly string[], joined: readonly string[]) =>
      row.every((text, column) => text === joined[positions[column]]);
    if (rows.length === 0 || !rows.every((row, offset) => isJoined(row, summary.rows[first + offset] ?? []))) {
      if (existsSync(path.join(folder, "run.json"))) return null;
      throw new InputError(`${summary.file}: its rows are not those of its cells; sweep --resume writes it anew`);
    }
    runs.push({ folder: cell, rows: rows.map((_, offset) => first + offset), files: filesOf(cell, folder) });
    next += rows.length;
  }
  return runs;
}

function descriptionIn(record: unknown): string {
  const { scenario } = (record ?? {}) as { scenario?: { description?: unknown } | null };
  const description = scenario?.description;
  return typeof description === "string" ? description : "";
}

/** The files of the run in `folder`, which are read when they are asked for; `results` is the folder of all runs. */
function filesOf(folder: string, results: string): RunFiles {
  const [steps, loads, timing] = ["steps.csv", "loads.csv", "timing.csv"].map((name) => path.join(folder, name));
  return {
    recordPath: path.join(folder, "run.json"),
    record: () => readRunJson(folder),
    async stepColumns() {
      if (!existsSync(steps)) return [];
      const reader = await openRows(steps, ["router", "step"]);
      reader.close();
      return reader.columns;
    },
    stepSeries: (required, optional) => readStepSeries(steps, required, optional),
    loadSeries: () => readLoadSeries(loads),
    routeMs() {
      if (!existsSync(timing)) return new Map();
      const table = readResultTable(timing, ["router", "route_ms_median"]);
      return new Map(
        table.rows.map((_, row) => [cellOf(table, row, "router"), numberOf(table, row, "route_ms_median")] as const),
      );
    },
    missing: (names) =>
      names
        .map((name) => path.join(folder, name))
        .filter((file) => !existsSync(file))
        .map((file) => path.relative(results, file)),
  };
}
