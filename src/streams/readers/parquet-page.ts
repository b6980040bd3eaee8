import { brotliDecompressSync, unzipSync } from "node:zlib";
import type { Compressors, DecodedArray, PageHeader } from "hyparquet";
import type { readColumn } from "hyparquet/src/column.js";
import { decompressPage, readDataPage, readDataPageV2 } from "hyparquet/src/datapage.js";
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from "hyparquet/src/schema.js";
import { compressors as portableCompressors } from "hyparquet-compressors";

export type ColumnDecoder = Parameters<typeof readColumn>[2];

/** Values that a run may reach beyond the page: a bit-packed run is padded, and some writers pad it to 512. */
const maxPadding = 512;

/** Node's own decompressors where it has them: they always come to an end, whatever the bytes. */
export const compressors: Compressors = {
  ...portableCompressors,
  GZIP: (input, length) => unzipSync(input, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) }),
};

/** The stored values of a page, before the dictionary is applied, and their levels. */
export interface DataPageContent {
  readonly values: DecodedArray;
  readonly repetition: readonly number[];
  /** None, or empty, when no value can be null. */
  readonly definition: readonly number[] | undefined;
}

/**
 * Decodes a data page, version 1 or 2, of `count` values. The lengths of all runs are checked first, because a decoder
 * that believes a damaged one fills the memory. A version 2 page must have no nulls. Throws errors of any kind when the page is damaged.
 */
export function decodeDataPage(
  body: Uint8Array,
  header: PageHeader,
  decoder: ColumnDecoder,
  count: number,
): DataPageContent {
  const repetitionBits = bitWidth(getMaxRepetitionLevel(decoder.schemaPath));
  const definitionBits = bitWidth(getMaxDefinitionLevel(decoder.schemaPath));
  const { data_page_header: first, data_page_header_v2: second, uncompressed_page_size: fullBytes } = header;
  if (first !== undefined) {
    const page = decompressPage(body, fullBytes, decoder.codec, compressors);
    let offset = 0;
    for (const bits of [repetitionBits, definitionBits]) {
      if (bits === 0) continue;
      const length = new DataView(page.buffer, page.byteOffset, page.byteLength).getUint32(offset, true);
      checkRuns(page.subarray(offset + 4, offset + 4 + length), bits, count);
      offset += 4 + length;
    }
    if (first.encoding.endsWith("_DICTIONARY")) checkRuns(page.subarray(offset + 1), page[offset], count);
    const { dataPage, repetitionLevels, definitionLevels } = readDataPage(page, first, decoder);
    return { values: dataPage, repetition: repetitionLevels, definition: definitionLevels };
  }
  if (second === undefined) throw new Error(`a page of unknown type ${header.type}`);

  const { repetition_levels_byte_length: repetitionBytes, definition_levels_byte_length: definitionBytes } = second;
  const levelBytes = repetitionBytes + definitionBytes;
  if (!(repetitionBytes >= 0 && definitionBytes >= 0 && levelBytes <= body.length && levelBytes <= fullBytes)) {
    throw new Error(`levels of ${repetitionBytes} and ${definitionBytes} bytes in a page of ${body.length}`);
  }
  const stored = body.subarray(levelBytes);
  const values =
    second.is_compressed === false
      ? stored
      : decompressPage(stored, fullBytes - levelBytes, decoder.codec, compressors);
  checkRuns(body.subarray(0, repetitionBytes), repetitionBits, count);
  checkRuns(body.subarray(repetitionBytes, levelBytes), definitionBits, count);
  if (second.encoding.endsWith("_DICTIONARY")) checkRuns(values.subarray(1), values[0], count);
  const page = new Uint8Array(levelBytes + values.length);
  page.set(body.subarray(0, levelBytes));
  page.set(values, levelBytes);
  const plain = { ...header, data_page_header_v2: { ...second, is_compressed: false } };
  const { dataPage, repetitionLevels, definitionLevels } = readDataPageV2(page, plain, decoder);
  return { values: dataPage, repetition: repetitionLevels, definition: definitionLevels };
}

/** Throws when a run of the run-length and bit-packing hybrid in `bytes` reaches far beyond `count` values. */
function checkRuns(bytes: Uint8Array, bits: number, count: number): void {
  if (bits > 32) throw new Error(`numbers of ${bits} bits; at most 32 are possible`);
  for (let offset = 0, seen = 0; seen < count && offset < bytes.length; ) {
    let run = 0;
    for (let shift = 0; ; shift += 7) {
      if (shift > 28 || offset === bytes.length) throw new Error("a run whose length has no end");
      const byte = bytes[offset++];
      run += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const isPacked = run % 2 === 1;
    const length = isPacked ? (run - 1) * 4 : run / 2;
    if (length > count - seen + maxPadding) throw new Error(`a run of ${length} values in a page of ${count}`);
    offset += isPacked ? (length / 8) * bits : Math.ceil(bits / 8);
    seen += length;
  }
}

function bitWidth(level: number): number {
  return 32 - Math.clz32(level);
}
