import { InputError } from "../input-error.ts";
import { headerOf, type ResultTable, summaryColumnsOf, withLayer } from "./result-columns.ts";
import type { DualRegretBasis } from "./warnings.ts";

/** What one router did, step by step. */
export interface StepSeries {
  /** `[recorded steps]`, rising. */
  readonly step: readonly number[];
  /** Every other requested column, `[recorded steps]`; NaN if the cell is empty or the column does not exist. */
  readonly columns: Readonly<Record<string, readonly number[]>>;
}

/** The loads of one router on the steps whose loads were kept. */
export interface LoadSeries {
  /** `[recorded steps]`, rising. */
  readonly step: readonly number[];
  readonly experts: number;
  /** `[recorded steps × experts]`. */
  readonly load: readonly number[];
}

/** The loads of one router in several layers. */
export interface LayerLoads {
  /** Steps whose loads were kept. */
  readonly steps: number;
  /** By rising id; `load` `[experts]` is summed over the steps. */
  readonly layers: readonly { readonly layer: number; readonly load: readonly number[] }[];
}

/** The loads of the GPUs of one layer, in pairs, summed over the steps on which a fitted placement was in force. */
export interface PlacedLoads {
  /** Null if the run has one layer. */
  readonly layer: number | null;
  /** `[gpus]`, with the experts in order and without replicas. */
  readonly unplaced: readonly number[];
  /** `[gpus]`, with the placement in force on each step. */
  readonly placed: readonly number[];
}

/**
 * What a run left besides its rows in the summary: known because it was just computed, or read on demand. Each method throws
 * `InputError` if the file that it reads is malformed.
 */
export interface RunFiles {
  /** Path of run.json, as a command takes it. */
  readonly recordPath: string;
  /** Contents of run.json, unchecked; undefined if it is missing. */
  record(): unknown;
  /** The columns of steps.csv; none if it is missing. */
  stepColumns(): Promise<readonly string[]>;
  /** Columns of steps.csv by router; none if the file is missing. It must have those `required`, and may lack those `optional`. */
  stepSeries(required: readonly string[], optional: readonly string[]): Promise<ReadonlyMap<string, StepSeries>>;
  /** loads.csv by router; none if it is missing, or of several layers. */
  loadSeries(): Promise<ReadonlyMap<string, LoadSeries>>;
  /** loads.csv by router if it is of several layers; else none. */
  layerLoads(): Promise<ReadonlyMap<string, LayerLoads>>;
  /** gpus.csv by router, layers rising; none if it is missing, as in a run that places no experts. */
  gpuLoads(): Promise<ReadonlyMap<string, readonly PlacedLoads[]>>;
  /** layers.csv; null if it is missing, as in a run of one layer. */
  layers(): ResultTable | null;
  /** Median over the steps of the milliseconds to route a batch, by router, from timing.csv; null if not recorded. */
  routeMs(): ReadonlyMap<string, number | null>;
  /** Precision of the dual regret of each router that has one, from run.json; none if it does not say. */
  dualRegret(): readonly DualRegretBasis[];
  /** Returns which of `names` are missing, as paths from the results' folder. */
  missing(names: readonly string[]): readonly string[];
}

/** One folder with the files of one scenario and seed, as `run`, `measure` and, for each cell, `sweep` write it. */
export interface Run {
  readonly folder: string;
  /** Rows of {@link Results.summary} for this run: its routers, in order. */
  readonly rows: readonly number[];
  readonly files: RunFiles;
}

/** Results of a run, a measurement or a sweep: just computed, or read from a folder. */
export interface Results {
  readonly folder: string;
  /** The scenario's name. */
  readonly name: string;
  /** Description of the scenario in run.json; empty if there is none. */
  readonly description: string;
  readonly summary: ResultTable;
  /** Swept paths: the summary's columns after those of every run. */
  readonly parameters: readonly string[];
  /** One for a run, one per cell for a sweep, in the summary's order. */
  readonly runs: readonly Run[];
}

/** Sizes that have a column in every summary, and a second one after it if they are swept. */
export const sweptSizes = ["steps", "tokens", "experts"];

/** A table of a cell of a sweep, and the cell's swept values as texts, in the order of the parameters. */
export interface CellTable {
  readonly table: ResultTable;
  readonly values: readonly string[];
}

/**
 * Joins the summaries of a sweep's cells: their rows one after the other, with the swept values in further columns named by
 * `parameters`. Cells that do not train, or have one layer, lack the columns of those that do, which are then empty.
 */
export function joinSummaries(cells: readonly CellTable[], parameters: readonly string[]): ResultTable {
  return joined("summary.csv", headerOf(summaryColumnsOf("evaluated", true, true)), cells, parameters);
}

/** Joins the layers.csv of a sweep's cells in the same way; those of one layer have none, and no rows. */
export function joinLayers(cells: readonly CellTable[], parameters: readonly string[]): ResultTable {
  return joined("layers.csv", headerOf(withLayer(summaryColumnsOf("evaluated", false, true))), cells, parameters);
}

function joined(
  file: string,
  known: readonly string[],
  cells: readonly CellTable[],
  parameters: readonly string[],
): ResultTable {
  const columns = known.filter((column) => cells.some(({ table }) => table.columns.includes(column)));
  const rows = cells.flatMap(({ table, values }) => {
    const positions = columns.map((column) => table.columns.indexOf(column));
    return table.rows.map((row) => [...positions.map((position) => row[position] ?? ""), ...values]);
  });
  return { file, columns: [...columns, ...parameters], rows };
}

/** Returns the median milliseconds to route a batch that timing.csv tells, by router; null if not recorded. */
export function routeMsIn(timing: ResultTable): ReadonlyMap<string, number | null> {
  return new Map(
    timing.rows.map((_, row) => [cellOf(timing, row, "router"), numberOf(timing, row, "route_ms_median")] as const),
  );
}

/** Returns the text of a cell; empty if the table lacks the column. */
export function cellOf(table: ResultTable, row: number, column: string): string {
  const position = table.columns.indexOf(column);
  return position < 0 ? "" : table.rows[row][position];
}

/** Returns the number in a cell; null if it is empty. Throws `InputError` if it holds anything else. */
export function numberOf(table: ResultTable, row: number, column: string): number | null {
  return parseNumber(cellOf(table, row, column), table.file, row, column);
}

/**
 * Returns the number in `cell`; null if it is empty. `row` counts from 0 below the header. Throws `InputError` if it
 * holds anything else.
 */
export function parseNumber(cell: string, file: string, row: number, column: string): number | null {
  if (cell === "") return null;
  const number = numberIn(cell);
  if (number !== null) return number;
  throw new InputError(`${file}: row ${row + 2}, ${column}: ${JSON.stringify(cell.slice(0, 40))} is not a number`);
}

/** As CSV files write numbers: JavaScript would also read 0x10 and 0b1. */
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Returns the finite decimal number in a cell; null if it holds anything else. */
export function numberIn(cell: string): number | null {
  const text = cell.trim();
  const number = decimal.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(number) ? number : null;
}

/** Columns that identify a row. */
const keys = new Set(["scenario", "router", "seed", "step", "layer"]);

/** Returns the metrics in the steps.csv of any run, in order. Throws `InputError` if one is malformed. */
export async function stepMetrics({ runs }: Results): Promise<string[]> {
  const found = new Set<string>();
  for (const { files } of runs) {
    for (const column of await files.stepColumns()) if (!keys.has(column)) found.add(column);
  }
  return Array.from(found);
}

/** What moesim wrote to a run.json. Only its version is certain to exist: the file may have been edited since. */
export interface RunRecord {
  readonly versions: { readonly moesim: string };
  readonly [field: string]: unknown;
}

/** Whether `value`, read from a file, is a record that moesim wrote. */
export function isRunRecord(value: unknown): value is RunRecord {
  const { versions } = (value ?? {}) as { versions?: { moesim?: unknown } | null };
  return typeof versions?.moesim === "string";
}
