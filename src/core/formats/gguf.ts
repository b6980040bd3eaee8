import { ggufMetadata } from "hyllama";
import { InputError } from "../input-error.ts";
import { readBytes, type Source } from "../source.ts";
import { counted } from "../words.ts";
import { elementTypes } from "./element-type.ts";
import { shorten } from "./messages.ts";
import type { LayerParts } from "./recorded-layer.ts";
import type { Found } from "./recording.ts";
import { checkedTensor, rowsOf } from "./stored-tensor.ts";

/** First guess at the size of a header, and its maximum. Tensors come after it, and only those with counts are read. */
const [firstHeaderBytes, maxHeaderBytes] = [1 << 18, 1 << 25];
/** Alignment of the data if the header does not say. */
const defaultAlignment = 32;
const float32Type = 0;

/** Counts of the tokens that a layer's experts saw: one per matrix, all of which see the same tokens. */
const countsName = /^blk\.(\d{1,4})\.(ffn_\w+_exps)\.weight\.counts$/;

type Header = ReturnType<typeof ggufMetadata>;

/**
 * Reads the header of a GGUF file, which has no length: more of the file is tried until it is enough. Throws `InputError` if it
 * is malformed or longer than 32 MiB.
 */
async function readHeader(file: Source): Promise<{ header: Header; head: Uint8Array }> {
  const most = Math.min(file.byteLength, maxHeaderBytes);
  for (let bytes = firstHeaderBytes; ; bytes *= 4) {
    const held = Math.min(bytes, most);
    const head = await readBytes(file, 0, held);
    try {
      return { header: ggufMetadata(head.buffer), head };
    } catch (error) {
      // A `RangeError` says that the header goes on after what was read.
      if (error instanceof RangeError && held < most) continue;
      throw new InputError(`${file.name}: truncated or malformed GGUF header: ${shorten((error as Error).message)}`);
    }
  }
}

type TensorInfo = Header["tensorInfos"][number];

/** The bytes of one tensor in the header. */
function bytesOf({ name, shape, type, offset }: TensorInfo): Uint8Array {
  const bytes = new Uint8Array(8 + name.length + 4 + 8 * shape.length + 4 + 8);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(name.length), true);
  for (let i = 0; i < name.length; i++) bytes[8 + i] = name.charCodeAt(i);
  let at = 8 + name.length;
  view.setUint32(at, shape.length, true);
  at += 4;
  for (const length of shape) {
    view.setBigUint64(at, length, true);
    at += 8;
  }
  view.setUint32(at, type, true);
  view.setBigUint64(at + 4, offset, true);
  return bytes;
}

/** Returns where the data begin. The parser does not say where the header ends, so its list of tensors is looked for. */
function dataBegin(file: string, { metadata, tensorInfos }: Header, head: Uint8Array): number {
  const first = bytesOf(tensorInfos[0]);
  const listBytes = tensorInfos.reduce((sum, info) => sum + bytesOf(info).length, 0);
  let begin = -1;
  for (let at = head.indexOf(first[0]); at >= 0 && begin < 0; at = head.indexOf(first[0], at + 1)) {
    if (first.every((byte, i) => head[at + i] === byte)) begin = at;
  }
  const alignment = Number(metadata["general.alignment"] ?? defaultAlignment);
  if (begin < 0 || !(Number.isInteger(alignment) && alignment >= 1 && alignment <= 1 << 20)) {
    throw new InputError(`${file}: malformed GGUF header`);
  }
  return Math.ceil((begin + listBytes) / alignment) * alignment;
}

/**
 * Opens the counts of llama.cpp's imatrix: a GGUF file with `blk.{layer}.ffn_*_exps.weight.counts`, float32 `[1, experts]`.
 * Reads only those. Throws `InputError` for any other GGUF file.
 */
export async function openGguf(files: readonly Source[]): Promise<Found> {
  const [file] = files;
  const { name } = file;
  if (files.length > 1) throw new InputError(`${name} and ${files.length - 1} more: name one GGUF file`);
  const { header, head } = await readHeader(file);
  const byLayer = new Map<number, { matrix: string; info: TensorInfo }>();
  for (const info of header.tensorInfos) {
    const match = countsName.exec(info.name);
    if (match === null) continue;
    const [, layer, matrix] = match;
    const own = byLayer.get(Number(layer));
    if (own === undefined || preference(matrix) < preference(own.matrix)) byLayer.set(Number(layer), { matrix, info });
  }
  if (byLayer.size === 0) {
    const { "general.type": type } = header.metadata;
    const what =
      type === "imatrix" ? "an imatrix without experts: of a dense model" : "a GGUF file without counts of experts";
    throw new InputError(
      `${name}: ${what}; llama-imatrix writes blk.*.ffn_*_exps.weight.counts for a model with experts`,
    );
  }
  const begin = dataBegin(name, header, head);
  const layers: LayerParts[] = [];
  let experts = 0;
  for (const [id, { info }] of byLayer) {
    const own = info.shape.reduce((product, length) => product * Number(length), 1);
    if (info.type !== float32Type || info.shape.length > 4 || !(own >= 1 && own <= maxExperts)) {
      throw new InputError(`${name}: ${shorten(info.name)} is not a list of float32 counts`);
    }
    if (experts !== 0 && own !== experts) {
      throw new InputError(
        `${name}: ${shorten(info.name)} has ${counted(own, "expert")}; other layers have ${experts}`,
      );
    }
    experts = own;
    const tensor = checkedTensor({
      source: file,
      element: elementTypes.float32,
      littleEndian: true,
      shape: [1, experts],
      strides: [experts, 1],
      begin: begin + Number(info.offset),
    });
    layers.push({ id, parts: [{ rows: rowsOf(tensor), step: 0, rowsPerStep: 1 }] });
  }
  return {
    what: "imatrix of llama.cpp (GGUF)",
    content: "loads",
    layers,
    hasLayers: true,
    hasSteps: true,
    experts,
    topK: null,
    notes: [],
  };
}

const maxExperts = 1 << 16;

/** The matrices of an expert see the same tokens; which one is read does not matter, but it is the same in every layer. */
function preference(matrix: string): number {
  const order = ["ffn_gate_exps", "ffn_gate_up_exps", "ffn_up_exps", "ffn_down_exps"].indexOf(matrix);
  return order < 0 ? Number.POSITIVE_INFINITY : order;
}

/**
 * Whether `head` begins like llama.cpp's imatrix before GGUF: the number of entries, then the length of a name and the name of a
 * matrix.
 */
export function isLegacyImatrix(head: Uint8Array): boolean {
  if (head.length < 16) return false;
  const view = new DataView(head.buffer, head.byteOffset);
  const [entries, length] = [view.getInt32(0, true), view.getInt32(4, true)];
  if (!(entries > 0 && entries < 1 << 20 && length > 3 && length < 256)) return false;
  return /^(blk\.\d+\.|output\.weight|token_embd)/.test(
    String.fromCharCode(...head.subarray(8, 8 + Math.min(length, 24))),
  );
}
