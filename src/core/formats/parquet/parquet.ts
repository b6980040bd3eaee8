import { type FileMetaData, parquetMetadata } from "hyparquet";
import { InputError } from "../../input-error.ts";
import { readBytes, type Source } from "../../source.ts";
import { quoteName } from "../messages.ts";
import { chunkExtent, createPageMemory, readColumn } from "./column.ts";
import { checkSchemaSize, type NumberColumn, numberColumns } from "./schema.ts";
import { checkThrift } from "./thrift.ts";

const magic = "PAR1";
/** Values read at once from a table. */
const blockValues = 1 << 16;
const maxMetadataBytes = 1 << 26;
/** Maximum bytes of a file's decoded pages: the first number or four times the file, but never more than the second. */
const [leastPageMemory, mostPageMemory] = [1 << 27, 1 << 30];
/**
 * Runs of equal values take no bytes, so a file of 2 kB can promise billions. A file that a program writes for a
 * model's tokens has about one value per byte.
 */
const [freeValues, mostValuesPerByte] = [1 << 22, 1 << 12];

/** The columns of numbers of a Parquet file. */
export interface ParquetTable {
  readonly rows: number;
  readonly columns: readonly ParquetColumn[];
  /** Names of the columns of anything else. */
  readonly others: readonly string[];
  /** Yields the numbers of `columns` in each row, side by side. The array is overwritten by the next row. */
  values(columns: readonly ParquetColumn[]): AsyncGenerator<Float64Array>;
}

/** A column of numbers, or of lists of them, all of one length. */
export interface ParquetColumn {
  readonly name: string;
  readonly dtype: string;
  readonly kind: "float" | "integer";
  /** Numbers in a row. */
  readonly width: number;
  /** Lengths of the lists in a row: none, one, or the outer and the inner one. */
  readonly shape: readonly number[];
}

/**
 * Opens a Parquet file as a table. Reads page by page, so memory holds one page per column, not a row group. Throws `InputError`
 * for any other file, and for one that would take far more memory than it has bytes. Errors inside a page appear when it is
 * read.
 */
export async function openParquetTable(file: Source): Promise<ParquetTable> {
  const { metadata, dataEnd } = await readMetadata(file);
  const rows = Number(metadata.num_rows);
  const found = new Map<ParquetColumn, NumberColumn>();
  let others: string[];
  const createMemory = () => createPageMemory(Math.min(mostPageMemory, Math.max(leastPageMemory, 4 * file.byteLength)));
  try {
    const described = numberColumns(file.name, metadata);
    others = described.others;
    checkExtents(file, described.columns, dataEnd);
    for (const column of described.columns) {
      const { name, dtype, kind, depth } = column;
      if (rows === 0) break;
      const [, width] = findShape(file.name, metadata, [column]);
      let shape: number[] = [];
      if (depth === 1) shape = [width];
      if (depth === 2) {
        const cursor = readColumn(file, column, width, createMemory());
        await cursor.copy(new Float64Array(width), 0, 1, width);
        shape = [width / cursor.innerLength(), cursor.innerLength()];
      }
      found.set({ name, dtype, kind, width: depth === 0 ? 1 : width, shape }, column);
    }
  } catch (error) {
    throw asInputError(file.name, error);
  }
  if (rows === 0) throw new InputError(`${file.name}: empty stream: the file has no rows`);
  return {
    rows,
    columns: [...found.keys()],
    others,
    async *values(columns) {
      const memory = createMemory();
      const cursors = columns.map((each) => readColumn(file, found.get(each)!, each.width, memory));
      const width = columns.reduce((sum, each) => sum + each.width, 0);
      const most = Math.max(1, Math.floor(blockValues / width));
      const block = new Float64Array(Math.min(most, rows) * width);
      const list = new Float64Array(block.length);
      for (let row = 0; row < rows; row += most) {
        const count = Math.min(most, rows - row);
        let at = 0;
        for (const [i, cursor] of cursors.entries()) {
          const own = columns[i].width;
          if (own === 1) await cursor.copy(block, at, width, count);
          else {
            await cursor.copy(list, 0, 1, count * own);
            for (let j = 0; j < count; j++) block.set(list.subarray(j * own, (j + 1) * own), j * width + at);
          }
          at += own;
        }
        for (let j = 0; j < count; j++) yield block.subarray(j * width, (j + 1) * width);
      }
    },
  };
}

async function readMetadata(file: Source): Promise<{ metadata: FileMetaData; dataEnd: number }> {
  if (file.byteLength < 12) {
    throw new InputError(`${file.name}: truncated: ${file.byteLength} bytes; a .parquet file has at least 12`);
  }
  const head = await readBytes(file, 0, 4);
  const tail = await readBytes(file, file.byteLength - 8, file.byteLength);
  if (asciiText(head) !== magic) {
    throw new InputError(`${file.name}: not a .parquet file: it does not begin with ${magic}`);
  }
  if (asciiText(tail.subarray(4)) !== magic) {
    throw new InputError(`${file.name}: truncated or malformed parquet file: it does not end with ${magic}`);
  }
  const length = new DataView(tail.buffer).getUint32(0, true);
  const dataEnd = file.byteLength - 8 - length;
  if (dataEnd < 4 || length > maxMetadataBytes) {
    throw new InputError(
      `${file.name}: malformed parquet file: the metadata should have ${length} bytes, but ` +
        `at most ${Math.min(file.byteLength - 12, maxMetadataBytes)} are possible`,
    );
  }
  const footer = await readBytes(file, dataEnd, file.byteLength);
  try {
    checkThrift(footer.subarray(0, length), 0);
    const metadata = parquetMetadata(footer, { geoparquet: false });
    checkSchemaSize(metadata.schema);
    return { metadata, dataEnd };
  } catch (error) {
    throw asInputError(file.name, error);
  }
}

function asciiText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Returns `[rows, experts]` from the metadata alone. */
function findShape(file: string, metadata: FileMetaData, chosen: readonly NumberColumn[]): number[] {
  const rows = Number(metadata.num_rows);
  const inGroups = metadata.row_groups.reduce((sum, { num_rows }) => sum + Number(num_rows), 0);
  if (rows !== inGroups) {
    throw new InputError(`${file}: malformed parquet file: ${rows} rows promised, but the row groups have ${inGroups}`);
  }
  const [first] = chosen;
  for (const { name, chunks, isList } of chosen) {
    chunks.forEach(({ num_values }, group) => {
      const expected = Number(metadata.row_groups[group].num_rows);
      if (Number(num_values) < 0 || (!isList && Number(num_values) !== expected)) {
        throw new InputError(
          `${file}: malformed parquet file: column ${quoteName(name)} has ${num_values} values in row group ${group}; ` +
            `expected ${expected}`,
        );
      }
    });
  }
  if (!first.isList || rows === 0) return [rows, chosen.length];
  const values = first.chunks.reduce((sum, { num_values }) => sum + Number(num_values), 0);
  if (!Number.isInteger(values / rows)) {
    throw new InputError(
      `${file}: column ${quoteName(first.name)} has ${values} values in ${rows} rows; all rows must have the same number`,
    );
  }
  return [rows, values / rows];
}

/** Throws `InputError` if parts of columns overlap, or promise more values than so few bytes can hold. */
function checkExtents(file: Source, chosen: readonly NumberColumn[], dataEnd: number): void {
  let values = 0;
  const extents = chosen.flatMap(({ name, chunks }) =>
    chunks.map((chunk, group) => {
      values += Number(chunk.num_values);
      return { name, group, ...chunkExtent(chunk) };
    }),
  );
  if (!(values <= freeValues + mostValuesPerByte * file.byteLength)) {
    throw new InputError(
      `${file.name}: a file of ${file.byteLength} bytes promises ${values} values; the maximum for its size is ` +
        `${freeValues + mostValuesPerByte * file.byteLength}`,
    );
  }
  extents.sort((a, b) => a.begin - b.begin);
  let last = 4;
  for (const { name, group, begin, end } of extents) {
    if (!(begin >= last && end >= begin && end <= dataEnd)) {
      throw new InputError(
        `${file.name}: malformed parquet file: column ${quoteName(name)}, row group ${group}: its bytes ${begin} to ${end} are ` +
          `not within the data, bytes 4 to ${dataEnd}, or are those of another column`,
      );
    }
    last = end;
  }
}

/** The metadata's decoder throws errors of any kind on damaged bytes. */
function asInputError(file: string, error: unknown): InputError {
  if (error instanceof InputError) return error;
  const what = error instanceof TypeError ? "its metadata lacks a required part" : (error as Error).message;
  return new InputError(`${file}: malformed parquet file: ${what}`);
}
