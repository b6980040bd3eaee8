import { InputError } from "../input-error.ts";

/** A table, as a CSV file holds it: a cell has the digits that stand there, and is empty where none apply. */
export interface ResultTable {
  /** As messages name it. */
  readonly file: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What one router did, step by step. */
export interface StepSeries {
  /** `[recorded steps]`, rising. */
  readonly step: readonly number[];
  /** Each other column that was asked for, `[recorded steps]`; NaN if the cell is empty or there is no such column. */
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

/**
 * What a run left besides its rows of the summary, read when it is asked for. Each method throws `InputError` if the file that
 * it reads is malformed.
 */
export interface RunFiles {
  /** Where run.json is, as a command takes it. */
  readonly recordPath: string;
  /** What run.json holds, unchecked; undefined if there is none. */
  record(): unknown;
  /** The columns of steps.csv; none if it is missing. */
  stepColumns(): Promise<readonly string[]>;
  /** Columns of steps.csv by router; none if the file is missing. It must have those `required`, and may lack those `optional`. */
  stepSeries(required: readonly string[], optional: readonly string[]): Promise<ReadonlyMap<string, StepSeries>>;
  /** loads.csv by router; none if it is missing. */
  loadSeries(): Promise<ReadonlyMap<string, LoadSeries>>;
  /** From timing.csv by router: the median over the steps of the milliseconds to route a batch, null if not recorded. */
  routeMs(): ReadonlyMap<string, number | null>;
  /** Those of `names` that are not there, as paths from the results' folder. */
  missing(names: readonly string[]): readonly string[];
}

/** One folder with the files of one scenario and seed: what `run` and `measure` write, and `sweep` for each cell. */
export interface Run {
  readonly folder: string;
  /** The rows of {@link Results.summary} that are of this run: its routers, in their order. */
  readonly rows: readonly number[];
  readonly files: RunFiles;
}

/** What a folder of results holds. */
export interface Results {
  readonly folder: string;
  /** The scenario's name. */
  readonly name: string;
  /** What run.json says of the scenario; empty if there is none. */
  readonly description: string;
  readonly summary: ResultTable;
  /** The swept paths: the columns of the summary after those of every run. */
  readonly parameters: readonly string[];
  /** One for a run, one a cell for a sweep, in the summary's order. */
  readonly runs: readonly Run[];
}

/** The text of a cell; empty if the table lacks the column. */
export function cellOf(table: ResultTable, row: number, column: string): string {
  const position = table.columns.indexOf(column);
  return position < 0 ? "" : table.rows[row][position];
}

/** The number in a cell; null if it is empty. Throws `InputError` if it holds anything else. */
export function numberOf(table: ResultTable, row: number, column: string): number | null {
  return parseNumber(cellOf(table, row, column), table.file, row, column);
}

/**
 * The number that `cell` holds; null if it is empty. `row` counts from 0 below the header. Throws `InputError` if it holds
 * anything else.
 */
export function parseNumber(cell: string, file: string, row: number, column: string): number | null {
  if (cell === "") return null;
  const number = numberIn(cell);
  if (number !== null) return number;
  throw new InputError(`${file}: row ${row + 2}, ${column}: ${JSON.stringify(cell.slice(0, 40))} is not a number`);
}

/** The finite number that a cell holds; null if it holds anything else. */
export function numberIn(cell: string): number | null {
  const number = Number(cell);
  return cell.trim() !== "" && Number.isFinite(number) ? number : null;
}

/** Columns that say whose row it is. */
const keys = new Set(["scenario", "router", "seed", "step", "layer"]);

/** The metrics that the steps.csv of any run has a column of, in their order. Throws `InputError` if one is malformed. */
export async function stepMetrics({ runs }: Results): Promise<string[]> {
  const found = new Set<string>();
  for (const { files } of runs) {
    for (const column of await files.stepColumns()) if (!keys.has(column)) found.add(column);
  }
  return Array.from(found);
}
