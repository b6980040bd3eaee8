import type { ColumnMetaData, DecodedArray, PageHeader } from "hyparquet";
import { parquetHeader, readPage } from "hyparquet/src/column.js";
import { convert, convertWithDictionary, DEFAULT_PARSERS } from "hyparquet/src/convert.js";
import { InputError } from "../../input-error.ts";
import { readBytes, type Source } from "../../source.ts";
import { quoteName } from "../messages.ts";
import { compressors, decodeDataPage } from "./page.ts";
import type { NumberColumn } from "./schema.ts";
import { checkThrift } from "./thrift.ts";

/** A page header has some tens of bytes; more would be statistics, which are two numbers here. */
const headerWindow = 4096;
/** Maximum decompressed size of one page. Writers aim at 1 MiB. */
const maxPageBytes = 1 << 28;
const maxPageValues = 1 << 25;
/** Bytes of a value or a level in a decoded page, and of a float16, which is decoded as an array of two bytes. */
const valueBytes = 8;
const float16Bytes = 128;

/** Memory that all decoded pages of a file may take together. */
export interface PageMemory {
  /** Replaces `before` bytes by `after`; throws `Error` if that is too much. */
  resize(before: number, after: number): void;
}

/** Room for `limit` bytes. */
export function createPageMemory(limit: number): PageMemory {
  let used = 0;
  return {
    resize(before, after) {
      used += after - before;
      if (used > limit) {
        throw new Error(`its pages take more than ${limit} bytes of memory when decoded; write it with smaller pages`);
      }
    },
  };
}

/** Reads the values of one column in order. */
export interface ColumnCursor {
  /** Writes the next `count` values to `into[start]`, `into[start + stride]`, … Throws `InputError`. */
  copy(into: Float32Array | Float64Array, start: number, stride: number, count: number): Promise<void>;
  /** Length of the inner lists of a list of lists, once its first row has been read. */
  innerLength(): number;
}

/**
 * Reads `column` page by page through all row groups; at most one page of it is in memory, whatever the size of its row
 * groups. Each row must hold `valuesPerRow` values and no null. Throws `InputError` for any other row, and for pages
 * that are malformed, reach beyond their column or do not fit into `memory`, which the columns of a file share. The
 * chunks must lie within the file's data.
 */
export function readColumn(file: Source, column: NumberColumn, valuesPerRow: number, memory: PageMemory): ColumnCursor {
  const { chunks } = column;
  let group = -1;
  let offset = 0;
  let chunkEnd = 0;
  let dictionary: DecodedArray | undefined;
  let valuesLeftInChunk = 0;
  let valuesRead = 0;
  let page: DecodedArray = [];
  let position = 0;
  // Bytes of `memory` that the page and the dictionary take.
  let pageMemory = 0;
  let dictionaryMemory = 0;
  let inner: number | null = null;
  const levels = (column.isList ? 1 : 0) + (column.maxDefinitionLevel > 0 ? 1 : 0);
  const decodingBytes = column.dtype === "float16" ? float16Bytes : valueBytes;

  const malformed = (what: string) =>
    new InputError(
      `${file.name}: malformed parquet file: column ${quoteName(column.name)}, row group ${group}: ${what}`,
    );

  function enterNextChunk(): void {
    group++;
    if (group === chunks.length) throw malformed("the row groups have fewer values than promised");
    const chunk = chunks[group];
    ({ begin: offset, end: chunkEnd } = chunkExtent(chunk));
    valuesLeftInChunk = Number(chunk.num_values);
    dictionary = undefined;
  }

  async function readHeader(): Promise<PageHeader> {
    const window = await readBytes(file, offset, Math.min(offset + headerWindow, chunkEnd));
    checkThrift(window, 0);
    const reader = { view: new DataView(window.buffer), offset: 0 };
    const header = parquetHeader(reader);
    offset += reader.offset;
    return header;
  }

  async function readBody(header: PageHeader): Promise<Uint8Array> {
    const { compressed_page_size: stored, uncompressed_page_size: full } = header;
    if (!(stored >= 0 && stored <= chunkEnd - offset)) {
      throw malformed(`truncated: a page of ${stored} bytes at byte ${offset}, but only ${chunkEnd - offset} remain`);
    }
    if (!(full >= 0 && full <= maxPageBytes)) {
      throw malformed(`a page of ${full} bytes; the maximum is ${maxPageBytes}`);
    }
    const body = await readBytes(file, offset, offset + stored);
    offset += stored;
    return body;
  }

  function checkLevels(repetition: readonly number[], definition: readonly number[] | undefined): void {
    if (definition !== undefined) {
      for (let i = 0; i < definition.length; i++) {
        if (definition[i] !== column.maxDefinitionLevel) {
          const row = Math.floor((valuesRead + i) / valuesPerRow);
          throw new InputError(
            `${file.name}: column ${quoteName(column.name)}: row ${row} is null, empty or contains a null`,
          );
        }
      }
    }
    if (!column.isList) return;
    for (let i = 0; i < repetition.length; i++) {
      const place = (valuesRead + i) % valuesPerRow;
      if (column.depth === 2 && place > 0 && repetition[i] > 0) {
        // The first inner list has the length of all.
        if (repetition[i] === 1) inner ??= place;
        const isStart = inner !== null && place % inner === 0;
        if ((repetition[i] === 1) !== isStart) {
          throw new InputError(
            `${file.name}: column ${quoteName(column.name)}: row ${Math.floor((valuesRead + i) / valuesPerRow)} has lists of ` +
              "different lengths; all must have the same",
          );
        }
      }
      if ((repetition[i] === 0) !== (place === 0)) {
        const row = Math.floor((valuesRead + i - 1) / valuesPerRow);
        throw new InputError(
          `${file.name}: column ${quoteName(column.name)}: row ${row} has ${repetition[i] === 0 ? "fewer" : "more"} than ` +
            `${valuesPerRow} values; all rows must have the same number`,
        );
      }
    }
  }

  async function readNextPage(): Promise<void> {
    while (valuesLeftInChunk === 0) enterNextChunk();
    if (offset >= chunkEnd) throw malformed(`truncated: ${valuesLeftInChunk} values are missing`);
    const chunk = chunks[group];
    const { element, schemaPath } = column;
    const decoder = {
      pathInSchema: chunk.path_in_schema,
      type: element.type!,
      element,
      schemaPath,
      codec: chunk.codec,
      parsers: DEFAULT_PARSERS,
      compressors,
    };
    const header = await readHeader();
    const body = await readBody(header);
    if (header.type === "DICTIONARY_PAGE") {
      const entries = checkCount(header.dictionary_page_header?.num_values, maxPageValues);
      memory.resize(dictionaryMemory, bodyMemory(header) + entries * decodingBytes);
      dictionaryMemory = bodyMemory(header) + entries * decodingBytes;
      const reader = { view: new DataView(body.buffer), offset: 0 };
      const { data } = readPage(reader, header, decoder, undefined, undefined, 0);
      dictionary = convert(data ?? [], decoder);
      return;
    }
    if (header.type === "INDEX_PAGE") return;

    const description = header.data_page_header ?? header.data_page_header_v2;
    const count = checkCount(description?.num_values, Math.min(maxPageValues, valuesLeftInChunk));
    if ((header.data_page_header_v2?.num_nulls ?? 0) !== 0) {
      const [first, last] = [valuesRead, valuesRead + count - 1].map((value) => Math.floor(value / valuesPerRow));
      throw new InputError(
        `${file.name}: column ${quoteName(column.name)}: one of the rows ${first} to ${last} is null, empty or contains a null`,
      );
    }
    page = [];
    position = 0;
    const decoding = bodyMemory(header) + count * (decodingBytes + levels * valueBytes);
    memory.resize(pageMemory, decoding);
    pageMemory = decoding;
    const { values, repetition, definition } = decodeDataPage(body, header, decoder, count);
    checkLevels(repetition, definition);
    if (description?.encoding.endsWith("_DICTIONARY")) checkEntries(values);
    page = convertWithDictionary(values, dictionary, description!.encoding, decoder);
    if (page.length !== count) throw malformed(`a page has ${page.length} values, but ${count} were promised`);
    // A decoded page without an array of its own is a view of the bytes that it was read from.
    pageMemory = Array.isArray(page) ? count * valueBytes : bodyMemory(header);
    memory.resize(decoding, pageMemory);
    valuesRead += count;
    valuesLeftInChunk -= count;
  }

  /** Memory of a page's bytes, both stored and decompressed. */
  function bodyMemory({ compressed_page_size: stored, uncompressed_page_size: full }: PageHeader): number {
    return stored + full;
  }

  function checkEntries(indices: DecodedArray): void {
    if (dictionary === undefined) throw malformed("a page refers to a missing dictionary");
    for (let i = 0; i < indices.length; i++) {
      if (!(indices[i] >= 0 && indices[i] < dictionary.length)) {
        throw malformed(`a page refers to entry ${indices[i]} of a dictionary with ${dictionary.length} entries`);
      }
    }
  }

  function checkCount(count: number | undefined, most: number): number {
    if (count === undefined || !(count >= 0 && count <= most)) {
      throw malformed(`a page of ${count} values; expected at most ${most}`);
    }
    return count;
  }

  return {
    innerLength: () => inner ?? valuesPerRow,
    async copy(into, start, stride, count) {
      for (let done = 0; done < count; ) {
        if (position === page.length) {
          try {
            await readNextPage();
          } catch (error) {
            // The decoders throw errors of any kind on damaged bytes.
            throw error instanceof InputError ? error : malformed((error as Error).message);
          }
          continue;
        }
        const now = Math.min(count - done, page.length - position);
        for (let i = 0; i < now; i++) into[start + (done + i) * stride] = Number(page[position + i]);
        position += now;
        done += now;
      }
    },
  };
}

/** Bytes of a column in one row group; the dictionary, if any, comes first. */
export function chunkExtent(chunk: ColumnMetaData): { begin: number; end: number } {
  const begin = Number(chunk.dictionary_page_offset || chunk.data_page_offset);
  return { begin, end: begin + Number(chunk.total_compressed_size) };
}
