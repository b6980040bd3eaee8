import { Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import type { InputFile } from "../../node/files/input-file.ts";
import { InputError } from "../input-error.ts";
import type { TensorReader } from "./tensor-reader.ts";
import { tensorSize } from "./tensor-shape.ts";

/** Bytes of one row: 40,000 experts at 25 digits each. Keeps an unclosed quote from swallowing the file. */
const maxRowBytes = 1 << 20;
const [lineFeed, carriageReturn] = [10, 13];
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const notANumber = /^[+-]?nan$/i;
const infinite = /^([+-]?)inf(inity)?$/i;

/** The number a cell holds, NaN and infinities included, or null when it holds anything else. */
function parseCell(cell: string): number | null {
  if (decimal.test(cell)) return Number(cell);
  if (notANumber.test(cell)) return Number.NaN;
  const match = infinite.exec(cell);
  if (match === null) return null;
  return match[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/**
 * The pieces of `file` as they are; throws `InputError` at a line of more than `maxRowBytes`, which the parser would gather
 * for a long time before it looks how long it is.
 */
async function* piecesOfLines(file: InputFile): AsyncGenerator<Buffer> {
  let line = 1;
  let length = 0;
  for await (const piece of file.pieces()) {
    for (let i = 0; i < piece.length; i++) {
      length += 1;
      if (piece[i] !== lineFeed && piece[i] !== carriageReturn) continue;
      if (piece[i] === lineFeed) line += 1;
      length = 0;
    }
    if (length > maxRowBytes) {
      throw new InputError(
        `${file.path}: line ${line} has more than ${maxRowBytes} bytes; a token per row is expected`,
      );
    }
    yield piece;
  }
}

/**
 * The rows of numbers of a CSV file. A first row without a single number is a header and skipped, blank lines are too.
 * Each yielded array is overwritten by the next row.
 */
async function* csvRows(file: InputFile): AsyncGenerator<Float64Array> {
  const { path } = file;
  const input = Readable.from(piecesOfLines(file), { objectMode: false });
  const parser = input.pipe(parse({ bom: true, trim: true, relax_column_count: true, max_record_size: maxRowBytes }));
  // A pipe does not pass errors on.
  input.on("error", (error) => parser.destroy(error));
  let line = 0;
  let numbers: Float64Array | null = null;
  let headerLength: number | null = null;
  try {
    for await (const cells of parser as AsyncIterable<string[]>) {
      line++;
      if (cells.length === 1 && cells[0] === "") continue;
      if (numbers === null) {
        if (headerLength === null && cells.every((cell) => cell !== "" && parseCell(cell) === null)) {
          headerLength = cells.length;
          continue;
        }
        numbers = new Float64Array(headerLength ?? cells.length);
      }
      if (cells.length !== numbers.length) {
        throw new InputError(`${path}: row ${line} has ${cells.length} columns; ${numbers.length} are expected`);
      }
      for (let column = 0; column < cells.length; column++) {
        const number = parseCell(cells[column]);
        if (number === null) {
          throw new InputError(
            `${path}: row ${line}, column ${column + 1}: ${JSON.stringify(cells[column].slice(0, 40))} is not a number; ` +
              "every cell holds one, except in a first row that is a header of names alone",
          );
        }
        numbers[column] = number;
      }
      yield numbers;
    }
  } catch (error) {
    if (error instanceof CsvError) throw new InputError(`${path}: malformed CSV after row ${line}: ${error.message}`);
    throw error;
  } finally {
    input.destroy();
  }
}

/**
 * Opens a CSV file of numbers: one token per row, one expert per column, separated by commas, a header row optional. Rows
 * are counted from 1, the header and blank lines included. One pass counts and checks the rows, so that the shape is
 * known before the first is read. Throws `InputError`, which names row and column, when a cell is not a number or a row
 * is longer or shorter than the others.
 */
export async function openCsv(file: InputFile): Promise<TensorReader> {
  const { path } = file;
  let rows = 0;
  let columns = 0;
  for await (const numbers of csvRows(file)) {
    rows++;
    columns = numbers.length;
  }
  if (rows === 0) throw new InputError(`${path}: empty stream: the file holds no row of numbers`);
  const shape = [rows, columns];
  tensorSize(path, shape);

  let source: AsyncGenerator<Float64Array> | null = null;
  return {
    file: path,
    dtype: "text",
    kind: "number",
    shape,
    rows,
    columns,
    async read(into, count) {
      source ??= csvRows(file);
      let row = 0;
      for (; row < count; row++) {
        const { value, done } = await source.next();
        if (done) break;
        into.set(value, row * columns);
      }
      return row;
    },
    async close() {
      await source?.return(undefined);
      await file.close();
    },
  };
}
