import { existsSync } from "node:fs";
import { CsvError, parse } from "csv-parse/sync";
import { InputError } from "../../core/input-error.ts";
import type { ResultTable } from "../../core/results/results.ts";
import { readSmallFile } from "./input-file.ts";

/** Of a file that is read whole, some million rows. */
const maxTableBytes = 1 << 29;

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
