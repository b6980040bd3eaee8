import { InputError } from "../input-error.ts";
import { readBytes, type Source } from "../source.ts";
import { type ElementType, elementTypes } from "./element-type.ts";
import { quoteName } from "./messages.ts";
import { checkPacked, packedStrides, type StoredTensor } from "./stored-tensor.ts";

/** About 200,000 tensors, more than any model has. The format's own reader accepts six times as many bytes. */
const maxHeaderBytes = 1 << 24;
/** Nested objects in the header: one of all tensors, and one per tensor. */
const headerDepth = 2;

const elementsByCode: Readonly<Record<string, ElementType>> = {
  F16: elementTypes.float16,
  BF16: elementTypes.bfloat16,
  F32: elementTypes.float32,
  F64: elementTypes.float64,
  I8: elementTypes.int8,
  I16: elementTypes.int16,
  I32: elementTypes.int32,
  I64: elementTypes.int64,
  BOOL: elementTypes.bool,
  U8: elementTypes.uint8,
  U16: elementTypes.uint16,
  U32: elementTypes.uint32,
  U64: elementTypes.uint64,
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte of the tensor's data and first byte after it, counted from the header's end. */
  readonly data_offsets: readonly [number, number];
}

/** Whether a file of `byteLength` bytes that begins with `head` is a `.safetensors` file, as far as that tells. */
export function isSafetensors(head: Uint8Array, byteLength: number): boolean {
  if (head.length < 10 || head[8] !== "{".charCodeAt(0)) return false;
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  return length >= 2n && length <= BigInt(byteLength - 8);
}

/**
 * Returns where the tensors of numbers of a `.safetensors` file lie, by name: an 8-byte little-endian length, that many bytes of
 * JSON, then the data. Tensors of other types are left out, and booleans unless `allowsBooleans`. Throws `InputError`, before
 * reading data, if the header is malformed or the tensors do not cover the rest of the file without gap or overlap.
 */
export async function storedSafetensors(file: Source, allowsBooleans = false): Promise<Map<string, StoredTensor>> {
  const { entries, dataOffset } = await readHeader(file);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of entries) {
    const element = Object.hasOwn(elementsByCode, dtype) ? elementsByCode[dtype] : null;
    if (element === null || (element.kind === "boolean" && !allowsBooleans)) continue;
    const [begin, end] = offsets;
    checkPacked(`${file.name}: tensor ${quoteName(name)}`, { element, shape, begin, end });
    const strides = packedStrides(shape);
    tensors.set(name, { source: file, element, littleEndian: true, shape, strides, begin: dataOffset + begin });
  }
  return tensors;
}

async function readHeader(file: Source): Promise<{ entries: Map<string, Entry>; dataOffset: number }> {
  if (file.byteLength < 8) {
    throw new InputError(`${file.name}: truncated: ${file.byteLength} bytes; a .safetensors file has at least 8`);
  }
  const prefix = await readBytes(file, 0, 8);
  const headerBytes = new DataView(prefix.buffer).getBigUint64(0, true);
  if (headerBytes > BigInt(file.byteLength - 8)) {
    throw new InputError(
      `${file.name}: truncated, or not a .safetensors file: it promises a header of ${headerBytes} bytes, ` +
        `but only ${file.byteLength - 8} follow the length`,
    );
  }
  if (headerBytes > maxHeaderBytes) {
    throw new InputError(
      `${file.name}: the header has ${headerBytes} bytes; the maximum is ${maxHeaderBytes}, a sixth of what the format allows`,
    );
  }
  const dataOffset = 8 + Number(headerBytes);
  const header = await readBytes(file, 8, dataOffset);
  const entries = parseEntries(file.name, header);
  checkCoverage(file.name, entries, file.byteLength - dataOffset);
  return { entries, dataOffset };
}

function parseEntries(file: string, header: Uint8Array): Map<string, Entry> {
  const malformed = (what: string) => new InputError(`${file}: malformed .safetensors header${what}`);
  let json: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(header);
    checkKeys(text);
    json = JSON.parse(text);
  } catch (error) {
    throw malformed(`, not JSON as the format requires: ${(error as Error).message}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw malformed(": expected a JSON object of tensors");
  }
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") continue;
    const problem = problemOf(value);
    if (problem !== null) {
      throw malformed(` at tensor ${quoteName(name)}: ${problem}; expected dtype, shape and data_offsets`);
    }
    entries.set(name, value);
  }
  return entries;
}

/** Returns what keeps `value` from being an entry; null if nothing does. */
function problemOf(value: Partial<Record<keyof Entry, unknown>> | null): string | null {
  const isLength = (length: unknown) => Number.isSafeInteger(length) && (length as number) >= 0;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "it is not an object";
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") return "its dtype is not a string";
  if (!Array.isArray(shape) || !shape.every(isLength)) return "its shape is not a list of integers ≥ 0";
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isLength)) {
    return "its data_offsets are not two integers ≥ 0";
  }
  return null;
}

/**
 * Throws `Error` if an object of the JSON `text` has a key twice, of which `JSON.parse` would keep the last, or nests
 * deeper than a header does. `JSON.parse` finds all other problems.
 */
function checkKeys(text: string): void {
  const keys: Set<string>[] = [];
  let arrays = 0;
  let last = "";
  // A string that never ends also matches: searching for its end from each of its quotes would take hours.
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"?|[{}[\]:]/gs)) {
    if (token === "{") keys.push(new Set());
    else if (token === "}") keys.pop();
    else if (token === "[") arrays++;
    else if (token === "]") arrays--;
    else if (token !== ":") last = token;
    else {
      const key = last.includes("\\") ? JSON.stringify(JSON.parse(last)) : last;
      const seen = keys.at(-1);
      if (seen?.has(key)) throw new Error(`the key ${quoteName(JSON.parse(key))} appears twice`);
      seen?.add(key);
    }
    if (keys.length > headerDepth || arrays > 1) throw new Error("it nests deeper than a header of tensors");
  }
}

/** The format requires the tensors to cover the data exactly; bytes that belong to none, or to two, mean damage. */
function checkCoverage(file: string, entries: Map<string, Entry>, dataBytes: number): void {
  const byOffset = [...entries].sort(([, a], [, b]) => {
    const [aBegin, aEnd] = a.data_offsets;
    const [bBegin, bEnd] = b.data_offsets;
    return aBegin - bBegin || aEnd - bEnd;
  });
  let covered = 0;
  for (const [name, { data_offsets }] of byOffset) {
    const [begin, end] = data_offsets;
    if (begin !== covered || end < begin) {
      throw new InputError(
        `${file}: malformed .safetensors header: tensor ${quoteName(name)} has data_offsets [${begin}, ${end}], ` +
          `expected a begin of ${covered} and an end after it`,
      );
    }
    covered = end;
  }
  if (covered !== dataBytes) {
    const problem = covered > dataBytes ? "truncated" : `${dataBytes - covered} bytes follow the last tensor`;
    throw new InputError(`${file}: ${problem}: the tensors take ${covered} bytes, but the file has ${dataBytes}`);
  }
}
