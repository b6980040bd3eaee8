import { z } from "zod";
import { InputError } from "../../core/input-error.ts";
import { type ElementType, elementTypes } from "./element-type.ts";
import { type InputFile, withInputFile } from "./input-file.ts";
import { readPackedTensor } from "./packed-tensor.ts";
import type { TensorReader } from "./tensor-reader.ts";

/** The limit of the format's own reader. */
const maxHeaderBytes = 100_000_000;
/** Names listed in a message. */
const maxNames = 20;

const elementsByCode: Readonly<Record<string, ElementType>> = {
  F16: elementTypes.float16,
  BF16: elementTypes.bfloat16,
  F32: elementTypes.float32,
  F64: elementTypes.float64,
  I8: elementTypes.int8,
  I16: elementTypes.int16,
  I32: elementTypes.int32,
  I64: elementTypes.int64,
  U8: elementTypes.uint8,
  U16: elementTypes.uint16,
  U32: elementTypes.uint32,
  U64: elementTypes.uint64,
};

const length = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(length),
  data_offsets: z.tuple([length, length]),
});
type Entry = z.infer<typeof entrySchema>;

/**
 * Opens one tensor of a `.safetensors` file: an 8-byte little-endian length, that many bytes of JSON, then the data.
 * `tensor` names it and may be left out when there is exactly one. Throws `InputError`, before it reads data, when the
 * header is malformed, when the tensors do not cover the rest of the file without gap or overlap, or when the tensor is
 * none of F16, BF16, F32, F64 and the integers.
 */
export function openSafetensors(path: string, tensor?: string): Promise<TensorReader> {
  return withInputFile(path, async (file) => {
    const { entries, dataOffset } = await readHeader(file);
    const { name, entry } = chooseTensor(file.path, entries, tensor);
    if (!Object.hasOwn(elementsByCode, entry.dtype)) {
      throw new InputError(
        `${file.path}: dtype ${entry.dtype} of tensor "${name}" is not supported; ` +
          `${Object.keys(elementsByCode).join(", ")} are`,
      );
    }
    const [begin, end] = entry.data_offsets;
    return readPackedTensor(file, {
      element: elementsByCode[entry.dtype],
      littleEndian: true,
      shape: entry.shape,
      begin: dataOffset + begin,
      end: dataOffset + end,
    });
  });
}

async function readHeader(file: InputFile): Promise<{ entries: Map<string, Entry>; dataOffset: number }> {
  if (file.size < 8) {
    throw new InputError(`${file.path}: truncated: ${file.size} bytes; a .safetensors file has at least 8`);
  }
  const prefix = Buffer.alloc(8);
  await file.readInto(prefix, 0);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > BigInt(file.size - 8)) {
    throw new InputError(
      `${file.path}: truncated or no .safetensors file: a header of ${headerBytes} bytes is promised, ` +
        `the file has ${file.size - 8} after the length`,
    );
  }
  if (headerBytes > maxHeaderBytes) {
    throw new InputError(`${file.path}: a header of ${headerBytes} bytes; at most ${maxHeaderBytes} are allowed`);
  }
  const header = Buffer.alloc(Number(headerBytes));
  await file.readInto(header, 8);
  const dataOffset = 8 + header.length;
  const entries = parseEntries(file.path, header);
  checkCoverage(file.path, entries, file.size - dataOffset);
  return { entries, dataOffset };
}

function parseEntries(file: string, header: Buffer): Map<string, Entry> {
  let json: unknown;
  try {
    json = JSON.parse(header.toString("utf8"));
  } catch (error) {
    throw new InputError(`${file}: malformed .safetensors header, it is not JSON: ${(error as Error).message}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`${file}: malformed .safetensors header: a JSON object of tensors is expected`);
  }
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") continue;
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const where = [name, ...issue.path].join(".");
      throw new InputError(
        `${file}: malformed .safetensors header at ${where}: ${issue.message}; ` +
          "dtype, shape and data_offsets are expected",
      );
    }
    entries.set(name, parsed.data);
  }
  return entries;
}

/** The format wants the tensors to cover the data exactly, so bytes that belong to none, or to two, mean damage. */
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
        `${file}: malformed .safetensors header: tensor "${name}" has data_offsets [${begin}, ${end}], ` +
          `a begin of ${covered} and an end after it are expected`,
      );
    }
    covered = end;
  }
  if (covered !== dataBytes) {
    const problem = covered > dataBytes ? "truncated" : `${dataBytes - covered} bytes follow the last tensor`;
    throw new InputError(`${file}: ${problem}: the tensors take ${covered} bytes, the file holds ${dataBytes}`);
  }
}

function chooseTensor(file: string, entries: Map<string, Entry>, tensor?: string): { name: string; entry: Entry } {
  const names = [...entries.keys()];
  const shown = names.slice(0, maxNames).map((name) => JSON.stringify(name));
  const list = `${shown.join(", ")}${names.length > maxNames ? `, … (${names.length} in all)` : ""}`;
  if (names.length === 0) throw new InputError(`${file}: empty stream: the file holds no tensor`);
  if (tensor === undefined && names.length > 1) {
    throw new InputError(`${file}: the file holds ${names.length} tensors; name one with "tensor": ${list}`);
  }
  const name = tensor ?? names[0];
  const entry = entries.get(name);
  if (entry === undefined) throw new InputError(`${file}: no tensor "${name}"; the file holds ${list}`);
  return { name, entry };
}
