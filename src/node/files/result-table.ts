import { existsSync } from "node:fs";
import { CsvError, parse } from "csv-parse/sync";
import { InputError } from "../../core/input-error.ts";
import { readSmallFile } from "./input-file.ts";

/** Of a file that is read whole, some million rows. */
const maxTableBytes = 1 << 29;

/** A CSV file that a run wrote, as text: a cell has the digits that stand in the file, and is empty where none apply. */
export interface ResultTable {
  readonly file: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * Reads the CSV file `file`, whole; for the files that are small however long a run is. Throws `InputError` where it is
 * missing, malformed, empty or lacks one of the columns `required`, or has two of the same name not in `mayRepeat`.
 */
export function readResultTable(
  file: string,
  required: readonly string[],
  mayRepeat: readonly string[] = [],
): ResultTable {
  if (!existsSync(file)) throw new InputError(`${file}: there is no such file; run, sweep and measure write it`);
  let records: string[][];
  try {
    records = parse(readSmallFile(file, maxTableBytes), { bom: true });
  } catch (error) {
    throw csvProblem(file, error);
  }
  const [columns, ...rows] = records;
  checkColumns(file, columns ?? [], required, mayRepeat);
  if (rows.length === 0) throw new InputError(`${file}: has no rows below its header`);
  return { file, columns, rows };
}

/** What to throw for an error from reading `file` as CSV: `InputError`, but the error itself where the file is not at fault. */
export function csvProblem(file: string, error: unknown): unknown {
  if (error instanceof InputError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  if (!(error instanceof CsvError) && code === undefined) return error;
  return new InputError(`${file}: cannot be read as CSV: ${message}`);
}

/** Throws `InputError` where a required column is missing, or one not in `mayRepeat` has no name of its own. */
export function checkColumns(
  file: string,
  columns: readonly string[],
  required: readonly string[],
  mayRepeat: readonly string[] = [],
): void {
  const missing = required.filter((column) => !columns.includes(column));
  if (missing.length > 0) {
    throw new InputError(
      `${file}: has no column ${missing.join(", ")}; a file written by run, sweep or measure has it`,
    );
  }
  const repeated = columns.find(
    (column, position) => columns.indexOf(column) !== position && !mayRepeat.includes(column),
  );
  if (repeated !== undefined) throw new InputError(`${file}: has two columns named ${JSON.stringify(repeated)}`);
}

/** The text of a cell; empty where the table lacks the column. */
export function cellOf(table: ResultTable, row: number, column: string): string {
  const position = table.columns.indexOf(column);
  return position < 0 ? "" : table.rows[row][position];
}

/** The number in a cell; null where it is empty. Throws `InputError` where it holds anything else. */
export function numberOf(table: ResultTable, row: number, column: string): number | null {
  return parseNumber(cellOf(table, row, column), table.file, row, column);
}

/**
 * The number that `cell` holds; null where it is empty. `row` counts from 0 below the header. Throws `InputError` where
 * it holds anything else.
 */
export function parseNumber(cell: string, file: string, row: number, column: string): number | null {
  if (cell === "") return null;
  const number = numberIn(cell);
  if (number !== null) return number;
  throw new InputError(`${file}: row ${row + 2}, ${column}: ${JSON.stringify(cell.slice(0, 40))} is not a number`);
}

/** The finite number that a cell holds; null where it holds anything else. */
export function numberIn(cell: string): number | null {
  const number = Number(cell);
  return cell.trim() !== "" && Number.isFinite(number) ? number : null;
}
