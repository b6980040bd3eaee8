import { CsvError, parse } from "csv-parse/browser/esm/sync";
import { InputError } from "../input-error.ts";
import { fillBytes, type Source } from "../source.ts";
import { counted } from "../words.ts";

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

/** What may separate the cells of a row. */
type Delimiter = "," | "\t" | ";" | " ";

/**
 * Returns the separator of the first row: the first of comma, tab and semicolon that it has; spaces between numbers, or between
 * names if the row below has as many numbers.
 */
async function delimiterOf(file: Source): Promise<Delimiter> {
  let names = 0;
  for await (const { bytes, rowEnd } of piecesOfRows(file)) {
    const text = new TextDecoder().decode(bytes);
    for (const row of text.split(rowEnd ?? "\n")) {
      const unquoted = row.replace(/"[^"]*"?/g, "").trim();
      if (unquoted === "" && !row.includes('"')) continue;
      const found = ([",", "\t", ";"] as const).find((delimiter) => unquoted.includes(delimiter));
      if (found !== undefined) return names > 0 ? "," : found;
      const words = unquoted.split(" ");
      if (words.length > 1 && words.every((word) => parseCell(word) !== null))
        return names === 0 || names === words.length ? " " : ",";
      if (names > 0 || words.length === 1) return ",";
      names = words.length;
    }
  }
  return ",";
}

/** Yields the records of `file`, including those before a malformed one. Throws `InputError`. */
async function* csvRecords(file: Source, delimiter: Delimiter): AsyncGenerator<readonly (readonly string[])[]> {
  let row = 0;
  for await (const { bytes, rowEnd } of piecesOfRows(file)) {
    const records: (readonly string[])[] = [];
    let problem: InputError | null = null;
    try {
      parse(bytes, {
        trim: true,
        relax_column_count: true,
        delimiter,
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

/** What a column is by its name. Only `value` columns hold experts or their numbers. */
export type ColumnRole = "index" | "step" | "layer" | "token" | "expert" | "count" | "choice" | "other" | "value";

const roles: readonly (readonly [ColumnRole, RegExp])[] = [
  ["index", /^(unnamed: ?\d+|index|)$/],
  ["step", /^(steps?|step_id|iter|iteration|forward_pass(_id)?|pass|batch|batch_id)$/],
  ["layer", /^(layers?|layer_(id|idx|index|no)|moe_layer)$/],
  ["token", /^(tokens?|token_(id|idx|index|pos|position)|pos|position|row)$/],
  ["expert", /^(expert|expert_(id|idx|index|no))$/],
  ["choice", /^(e|expert_?|expert_id_?|topk_?(id_?|ids_?)?|slot_?|choice_?|selected_?)\d+$/],
  [
    "other",
    /^(n|w\d+|(topk_)?(weight|prob|gate|score)s?_?\d*|rank|seq|sample|request|request_id|doc|doc_id|text|prompt)$/,
  ],
  ["count", /^(counts?|loads?|num_tokens|n_tokens|.*(count|load|freq|frequency|activations|popularity))$/],
];

/** Returns what a column is, by its name in a header. */
export function roleOf(name: string): ColumnRole {
  const plain = name.trim().toLowerCase();
  return roles.find(([, pattern]) => pattern.test(plain))?.[0] ?? "value";
}

/** A text file of rows. */
export interface CsvTable {
  /** Names of the columns; null if there is no header. */
  readonly names: readonly string[] | null;
  readonly columns: number;
  /** Whether the header was 0, 1, 2, …, as data frames without names write it. */
  readonly hasNumberedHeader: boolean;
  /**
   * Yields the numbers in `columns` of each row; other cells are not looked at. The array is overwritten by the next row.
   * Throws `InputError`, naming row and column, if a cell is not a number or a row is longer or shorter than the others.
   */
  rows(columns: readonly number[]): AsyncGenerator<Float64Array>;
}

function isBlank(cells: readonly string[]): boolean {
  return cells.length === 1 && cells[0] === "";
}

/** Whether the cells are 0, 1, 2, …, at least two of them. */
function isNumbered(cells: readonly string[]): boolean {
  return cells.length > 1 && cells.every((cell, i) => cell === String(i));
}

/** Whether a first row is a header: of names only, or of names of ids and 0, 1, 2, …, or of these alone. */
function isHeader(cells: readonly string[]): boolean {
  const isName = (cell: string) => parseCell(cell) === null;
  if (cells.every((cell) => isName(cell)) && cells.some((cell) => cell !== "")) return true;
  const others = cells.filter((cell) => !isName(cell) || roleOf(cell) === "value");
  return isNumbered(others) && cells.every((cell) => !isName(cell) || roleOf(cell) !== "value");
}

/**
 * Opens a text file of rows of numbers, separated by commas, tabs, semicolons or single spaces, with an optional header.
 * Rows are counted from 1, including the header and blank lines. Throws `InputError` if it is malformed.
 */
export async function openCsvTable(file: Source): Promise<CsvTable> {
  const delimiter = await delimiterOf(file);
  let first: readonly string[] | null = null;
  for await (const records of csvRecords(file, delimiter)) {
    first = records.find((cells) => !isBlank(cells)) ?? null;
    if (first !== null) break;
  }
  if (first === null) throw new InputError(`${file.name}: empty stream: the file has no rows of numbers`);
  const names = isHeader(first) ? first : null;
  const columns = first.length;

  async function* rows(chosen: readonly number[]): AsyncGenerator<Float64Array> {
    const numbers = new Float64Array(chosen.length);
    let line = 0;
    let isFirst = names !== null;
    for await (const records of csvRecords(file, delimiter)) {
      for (const cells of records) {
        line++;
        if (isBlank(cells)) continue;
        if (isFirst) {
          isFirst = false;
          continue;
        }
        if (cells.length !== columns) {
          throw new InputError(`${file.name}: row ${line} has ${counted(cells.length, "column")}; expected ${columns}`);
        }
        for (const [i, column] of chosen.entries()) {
          const number = parseCell(cells[column]);
          if (number === null) throw new InputError(notANumberText(file.name, line, column, cells[column]));
          numbers[i] = number;
        }
        yield numbers;
      }
    }
  }

  return {
    names,
    columns,
    hasNumberedHeader: names !== null && isNumbered(names.filter((name) => roleOf(name) === "value")),
    rows,
  };
}

/** Maximum characters of a cell that a message shows: more may be a prompt, which is not to be shown. */
const maxShownCharacters = 16;

function notANumberText(file: string, line: number, column: number, cell: string): string {
  const words = cell.split(/ +/);
  if (words.length > 1 && words.every((word) => parseCell(word) !== null)) {
    return (
      `${file}: row ${line}: its numbers are not separated as those of the first row; ` +
      "separate all cells by commas, tabs, semicolons or single spaces"
    );
  }
  const shown = cell.length > maxShownCharacters ? `a text of ${cell.length} characters` : JSON.stringify(cell);
  return (
    `${file}: row ${line}, column ${column + 1}: ${shown} is not a number; ` +
    "every cell must be a number, except in a header, which is a first row of names only"
  );
}
