import { CsvError, parse } from "csv-parse/browser/esm/sync";
import { InputError } from "../input-error.ts";
import { fillBytes, type Source } from "../source.ts";
import { type TensorReader, tensorSize } from "./tensor-reader.ts";

/** Maximum bytes in one row: 40,000 experts at 25 digits each. Keeps an unclosed quote from swallowing the file. */
const maxRowBytes = 1 << 20;
const pieceBytes = 1 << 16;
const [lineFeed, carriageReturn, quote] = [10, 13, 34];
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const notANumber = /^[+-]?nan$/i;
const infinite = /^([+-]?)inf(inity)?$/i;

/** Returns the number in a cell, which may be NaN or infinite, or null if the cell holds anything else. */
function parseCell(cell: string): number | null {
  if (decimal.test(cell)) return Number(cell);
  if (notANumber.test(cell)) return Number.NaN;
  const match = infinite.exec(cell);
  if (match === null) return null;
  return match[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Some whole rows of a CSV file, as UTF-8. */
interface Rows {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Separator of the rows; null if no row has ended yet. */
  readonly rowEnd: "\n" | "\r" | "\r\n" | null;
}

/**
 * Cuts `file` into pieces of whole rows; a line break within quotes does not end a row. Memory holds one piece. Reads
 * UTF-8, with or without a byte order mark, and UTF-16 with one. The end of the first row decides how rows end. Throws
 * `InputError` for a row of more than `maxRowBytes`.
 */
async function* piecesOfRows(file: Source): AsyncGenerator<Rows> {
  let utf16: TextDecoder | null = null;
  let rowEnd: Rows["rowEnd"] = null;
  let isQuoted = false;
  let line = 1;
  let before = 0;
  /** The incomplete row at the end of the last piece. */
  let rest = new Uint8Array(0);
  const buffer = new Uint8Array(Math.min(pieceBytes, file.byteLength));
  for (let offset = 0; offset < file.byteLength; offset += pieceBytes) {
    let read = buffer.subarray(0, file.byteLength - offset);
    await fillBytes(file, read, offset);
    if (offset === 0) {
      if (read[0] === 0xff && read[1] === 0xfe) utf16 = new TextDecoder("utf-16le");
      else if (read[0] === 0xef && read[1] === 0xbb && read[2] === 0xbf) read = read.subarray(3);
    }
    if (utf16 !== null) read = new TextEncoder().encode(utf16.decode(read, { stream: true }));
    let end = 0;
    for (let i = 0; i < read.length; i++) {
      const byte = read[i];
      if (byte === lineFeed) line += 1;
      if (byte === quote) isQuoted = !isQuoted;
      if (rowEnd === null && !isQuoted) {
        if (byte === lineFeed) rowEnd = before === carriageReturn ? "\r\n" : "\n";
        else if (before === carriageReturn) rowEnd = "\r";
      }
      const isRowEnd =
        rowEnd === "\r\n"
          ? byte === lineFeed && before === carriageReturn
          : byte === (rowEnd === "\r" ? carriageReturn : lineFeed);
      if (isRowEnd && !isQuoted && rowEnd !== null) end = i + 1;
      before = byte;
    }
    if (end > 0) {
      yield { bytes: joined(rest, read.subarray(0, end)), rowEnd };
      rest = read.slice(end);
    } else {
      rest = joined(rest, read.slice());
    }
    if (rest.length > maxRowBytes) {
      // The parser gives a better message about an unclosed or misplaced quote.
      if (isQuoted) yield { bytes: rest, rowEnd };
      throw new InputError(`${file.name}: line ${line} has more than ${maxRowBytes} bytes; expected one token per row`);
    }
  }
  if (rest.length > 0) yield { bytes: rest, rowEnd };
}

function joined(first: Uint8Array<ArrayBuffer>, second: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (first.length === 0) return second;
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** Yields the records of `file`, including those before a malformed one. Throws `InputError`. */
async function* csvRecords(file: Source): AsyncGenerator<readonly (readonly string[])[]> {
  let row = 0;
  for await (const { bytes, rowEnd } of piecesOfRows(file)) {
    const records: (readonly string[])[] = [];
    let problem: InputError | null = null;
    try {
      parse(bytes, {
        trim: true,
        relax_column_count: true,
        ...(rowEnd !== null && { record_delimiter: rowEnd }),
        on_record: (record) => {
          records.push(record);
          return null;
        },
      });
    } catch (error) {
      if (!(error instanceof CsvError)) throw error;
      // The parser counts only the lines of this piece.
      const what = error.message.replace(/ at line \d+/, "");
      problem = new InputError(`${file.name}: malformed CSV after row ${row + records.length}: ${what}`);
    }
    yield records;
    if (problem !== null) throw problem;
    row += records.length;
  }
}

/**
 * Yields the rows of numbers of a CSV file. Skips a first row without a single number as a header, and blank lines.
 * Each yielded array is overwritten by the next row.
 */
async function* csvRows(file: Source): AsyncGenerator<Float64Array> {
  let line = 0;
  let numbers: Float64Array | null = null;
  let headerLength: number | null = null;
  for await (const records of csvRecords(file)) {
    for (const cells of records) {
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
        throw new InputError(`${file.name}: row ${line} has ${cells.length} columns; expected ${numbers.length}`);
      }
      for (let column = 0; column < cells.length; column++) {
        const number = parseCell(cells[column]);
        if (number === null) {
          throw new InputError(
            `${file.name}: row ${line}, column ${column + 1}: ${JSON.stringify(cells[column].slice(0, 40))} is not a number; ` +
              "every cell must be a number, except in a header, which is a first row of names only",
          );
        }
        numbers[column] = number;
      }
      yield numbers;
    }
  }
}

/**
 * Opens a CSV file of numbers: one token per row, one expert per column, separated by commas, with an optional header.
 * Rows are counted from 1, including the header and blank lines. One pass counts and checks the rows, so the shape is
 * known before the first is read. Throws `InputError`, naming row and column, if a cell is not a number or a row is
 * longer or shorter than the others.
 */
export async function openCsv(file: Source): Promise<TensorReader> {
  const { name } = file;
  let rows = 0;
  let columns = 0;
  for await (const numbers of csvRows(file)) {
    rows++;
    columns = numbers.length;
  }
  if (rows === 0) throw new InputError(`${name}: empty stream: the file has no rows of numbers`);
  const shape = [rows, columns];
  tensorSize(name, shape);

  let source: AsyncGenerator<Float64Array> | null = null;
  return {
    file: name,
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
      await file.close?.();
    },
  };
}
