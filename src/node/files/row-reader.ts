import { createReadStream } from "node:fs";
import { parse } from "csv-parse";
import { openRegularFile } from "./input-file.ts";
import { checkColumns, csvProblem } from "./result-table.ts";

/** Reads a result file row by row, in pieces, so that memory does not grow with it. */
export interface RowReader {
  readonly columns: readonly string[];
  /** The next row, as long as `columns`; null behind the last. Throws `InputError` where the file is malformed. */
  next(): Promise<readonly string[] | null>;
  close(): void;
}

/**
 * Opens the CSV file `file` and reads its header. Throws `InputError` where it cannot be read, lacks one of the columns
 * `required`, or has two of the same name not in `mayRepeat`. `onBytes` is called with the bytes of each piece that was
 * read.
 */
export async function openRows(
  file: string,
  required: readonly string[],
  mayRepeat: readonly string[] = [],
  onBytes: (bytes: number) => void = () => undefined,
): Promise<RowReader> {
  const input = createReadStream(file, { fd: openRegularFile(file) });
  input.on("data", (piece) => onBytes(piece.length));
  const parser = input.pipe(parse({ bom: true }));
  // A pipe does not pass errors on.
  input.on("error", (error) => parser.destroy(error));
  const rows = (parser as AsyncIterable<string[]>)[Symbol.asyncIterator]();

  async function next(): Promise<readonly string[] | null> {
    try {
      const { done, value } = await rows.next();
      return done === true ? null : value;
    } catch (error) {
      throw csvProblem(file, error);
    }
  }
  function close(): void {
    input.destroy();
    parser.destroy();
  }

  try {
    const columns = (await next()) ?? [];
    checkColumns(file, columns, required, mayRepeat);
    return { columns, next, close };
  } catch (error) {
    close();
    throw error;
  }
}
