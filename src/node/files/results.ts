import { existsSync } from "node:fs";
import path from "node:path";
import { InputError } from "../../core/input-error.ts";
import { headerOf, summaryColumnsOf } from "../../core/results/result-columns.ts";
import { completeCommit } from "./output-folder.ts";
import { cellOf, type ResultTable, readResultTable } from "./result-table.ts";
import { readRunJson } from "./run-json.ts";

/** The columns of summary.csv that every file of results has had from the first version on. */
const requiredColumns = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global"];

/** Sizes that have a column in every summary, and a second one behind it where they are swept. */
export const sweptSizes = ["steps", "tokens", "experts"];

/** One folder with the files of one scenario and seed: what `run` and `measure` write, and `sweep` for each cell. */
export interface Run {
  readonly folder: string;
  /** Of the rows of {@link Results.summary}, those of this run: its routers, in their order. */
  readonly rows: readonly number[];
}

/** What a folder of results holds. */
export interface Results {
  readonly folder: string;
  /** The scenario's name. */
  readonly name: string;
  /** What run.json says of the scenario; empty where there is none. */
  readonly description: string;
  readonly summary: ResultTable;
  /** The swept paths: the columns of the summary behind those of every run. */
  readonly parameters: readonly string[];
  /** One for a run, one a cell for a sweep, in the summary's order. */
  readonly runs: readonly Run[];
}

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
  const runs = openCells(folder, summary, cellFolders) ?? [{ folder, rows: summary.rows.map((_, row) => row) }];
  return {
    folder,
    name: cellOf(summary, 0, "scenario"),
    description: readDescription(runs[0].folder),
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
    runs.push({ folder: cell, rows: rows.map((_, offset) => first + offset) });
    next += rows.length;
  }
  return runs;
}

function readDescription(folder: string): string {
  const record = readRunJson(folder) as { scenario?: { description?: unknown } } | null | undefined;
  const description = record?.scenario?.description;
  return typeof description === "string" ? description : "";
}
