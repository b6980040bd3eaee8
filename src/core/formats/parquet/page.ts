import { decompress as decompressZstd } from "fzstd";
import type { Compressors, DecodedArray, PageHeader } from "hyparquet";
import type { readColumn } from "hyparquet/src/column.js";
import { decompressPage, readDataPage, readDataPageV2 } from "hyparquet/src/datapage.js";
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from "hyparquet/src/schema.js";
import { compressors as portableCompressors } from "hyparquet-compressors";
import { platform } from "../../platform.ts";

export type ColumnDecoder = Parameters<typeof readColumn>[2];

/** Values by which a run may exceed the page: a bit-packed run is padded, by some writers to 512. */
const maxPadding = 512;
/** Maximum values in a block of differences; writers use 128 or 256. */
const maxBlockValues = 1 << 16;

/**
 * Decompressors that always terminate, whatever the bytes, and never write more than the page header promises: the
 * platform's if it has some, and fzstd into a buffer of that length, because it would otherwise trust the sizes in the
 * stream.
 */
export const compressors: Compressors = {
  ...portableCompressors,
  ZSTD: (input, length) => decompressZstd(input, new Uint8Array(length)),
  ...platform().decompressors,
};

/** Stored values of a page, before the dictionary is applied, and their levels. */
export interface DataPageContent {
  readonly values: DecodedArray;
  readonly repetition: readonly number[];
  /** Absent or empty if no value can be null. */
  readonly definition: readonly number[] | undefined;
}

/** Bytes per number, for the types of number columns. */
const numberBytes: Readonly<Record<string, number>> = {
  INT32: 4,
  FLOAT: 4,
  INT64: 8,
  DOUBLE: 8,
  FIXED_LEN_BYTE_ARRAY: 2,
};

/** Supported encodings of numbers. hyparquet knows more, for text, where one byte can promise gigabytes. */
const encodings = ["PLAIN", "PLAIN_DICTIONARY", "RLE_DICTIONARY", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"];

/**
 * Decodes a data page, version 1 or 2, of `count` values. First checks everything that the decoder would trust: the
 * runs, the blocks of differences, the bytes of the values. A version 2 page must have no nulls. Throws errors of any
 * kind if the page is damaged.
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
    checkValues(page.subarray(offset), first.encoding, count);
    const { dataPage, repetitionLevels, definitionLevels } = readDataPage(page, first, decoder);
    checkBytes(page.length - offset, first.encoding, decoder, dataPage.length);
    return { values: dataPage, repetition: repetitionLevels, definition: definitionLevels };
  }
  if (second === undefined) throw new Error("a page of unknown type");

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
  if (repetitionBits > 0) checkRuns(body.subarray(0, repetitionBytes), repetitionBits, count);
  if (definitionBits > 0) checkRuns(body.subarray(repetitionBytes, levelBytes), definitionBits, count);
  checkValues(values, second.encoding, count);
  const page = new Uint8Array(levelBytes + values.length);
  page.set(body.subarray(0, levelBytes));
  page.set(values, levelBytes);
  const plain = { ...header, data_page_header_v2: { ...second, is_compressed: false } };
  const { dataPage, repetitionLevels, definitionLevels } = readDataPageV2(page, plain, decoder);
  checkBytes(values.length, second.encoding, decoder, dataPage.length);
  return { values: dataPage, repetition: repetitionLevels, definition: definitionLevels };
}

/** Checks what the decoder of at most `count` values would trust in `bytes`, which begin with the values. */
function checkValues(bytes: Uint8Array, encoding: string | undefined, count: number): void {
  if (encoding === undefined || !encodings.includes(encoding)) {
    throw new Error(`values encoded as ${encoding ?? "something unknown"}; supported: ${encodings.join(", ")}`);
  }
  if (encoding.endsWith("_DICTIONARY")) checkRuns(bytes.subarray(1), bytes[0], count, true);
  if (encoding === "DELTA_BINARY_PACKED") checkDifferences(bytes);
}

/** Throws unless `bytes` hold exactly `count` numbers: the decoder would read any memory beyond them. */
function checkBytes(bytes: number, encoding: string, { type }: ColumnDecoder, count: number): void {
  if (encoding !== "PLAIN" && encoding !== "BYTE_STREAM_SPLIT") return;
  const needed = count * numberBytes[type];
  if (bytes !== needed) throw new Error(`${count} values take ${needed} bytes, but the page has ${bytes}`);
}

/** Throws unless each DELTA_BINARY_PACKED block advances the decoder: values in whole miniblocks of whole words. */
function checkDifferences(bytes: Uint8Array): void {
  let offset = 0;
  const [blockValues, miniblocks] = [0, 1].map(() => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      if (shift > 28 || offset === bytes.length) throw new Error("a block of differences whose size never ends");
      const byte = bytes[offset++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  });
  const perMiniblock = blockValues / miniblocks;
  if (!(blockValues > 0 && blockValues <= maxBlockValues && perMiniblock > 0 && perMiniblock % 32 === 0)) {
    throw new Error(`blocks of ${blockValues} differences in ${miniblocks} parts; expected whole multiples of 32`);
  }
}

/**
 * Throws if a run of the run-length and bit-packing hybrid in `bytes` reaches far beyond `count` values, or if the runs
 * end early, unless `mayEnd`: nulls have no values.
 */
function checkRuns(bytes: Uint8Array, bits: number, count: number, mayEnd = false): void {
  if (bits > 32) throw new Error(`numbers of ${bits} bits; the maximum is 32`);
  let seen = 0;
  for (let offset = 0; seen < count && offset < bytes.length; ) {
    let run = 0;
    for (let shift = 0; ; shift += 7) {
      if (shift > 28 || offset === bytes.length) throw new Error("a run whose length never ends");
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
  if (seen < count && !mayEnd) throw new Error(`runs of ${seen} values in a page of ${count}`);
}

function bitWidth(level: number): number {
  return 32 - Math.clz32(level);
}
