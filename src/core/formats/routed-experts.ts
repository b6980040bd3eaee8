/** Routed experts in the responses of vLLM and SGLang, for replay in training (R3). */

import { InputError } from "../input-error.ts";
import { bytesSource, type Source } from "../source.ts";
import { counted } from "../words.ts";
import { addParts, arrange, layersOf } from "./arrange.ts";
import { entriesOf } from "./captures.ts";
import { jsonDocuments } from "./lines.ts";
import { quoteName } from "./messages.ts";
import { storedNpy } from "./npy.ts";
import type { Part } from "./recorded-layer.ts";
import type { Found, RecordingOptions } from "./recording.ts";
import { packedStrides, type StoredTensor, tensorOf } from "./stored-tensor.ts";
import { NumberList } from "./tables.ts";

/** Keys that hold routed experts, in the order of their tokens. */
const keys = ["prompt_routed_experts", "routed_experts"];
/** Maximum depth at which a response keeps them. */
const maxDepth = 4;
/** Maximum experts per token. */
const maxTopK = 64;
const maxChoiceBytes = 2 ** 30;

/** Whether a JSON document has routed experts anywhere. */
export function hasRoutedExperts(value: unknown): boolean {
  for (const _ of routesIn(value)) return true;
  return false;
}

/** Routed experts of a response, and the dictionary that they stand in. */
interface Routes {
  readonly value: unknown;
  readonly beside: ReadonlyMap<unknown, unknown>;
}

function* routesIn(value: unknown, depth = 0): Generator<Routes> {
  if (depth > maxDepth) return;
  if (Array.isArray(value)) {
    // Numbers are what is looked for, not where it is.
    if (typeof value[0] === "object") for (const each of value) yield* routesIn(each, depth + 1);
    return;
  }
  const entries = entriesOf(value);
  if (entries === null) return;
  for (const key of keys) {
    const routes = entries.get(key);
    if (routes !== undefined && routes !== null) yield { value: routes, beside: entries };
  }
  for (const [key, each] of entries) if (!keys.includes(String(key))) yield* routesIn(each, depth + 1);
}

/** Choices of the tokens of one list. */
interface RoutedTokens {
  /** `[tokens, layers, topK]`, or `[tokens, layers × topK]` of bytes that do not say how a row divides into layers. */
  readonly tensor: StoredTensor;
  /** Those of such bytes, and the length of each row. */
  readonly raw: { readonly values: Int32Array; readonly lengths: readonly number[] } | null;
}

/** Choices of all lists, as narrow as they were written. */
interface Gathered {
  /** Slots of a token; null if the bytes do not say. */
  topK: number | null;
  /** Layers × slots. */
  width: number;
  readonly lists: RoutedTokens[];
  bytes: number;
  responses: number;
}

/** Opens responses with routed experts: JSON, one per line or one per file. Nothing else of them is read. */
export async function openResponses(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const gathered: Gathered = { topK: null, width: 0, lists: [], bytes: 0, responses: 0 };
  for (const file of files) {
    for await (const { value, line } of jsonDocuments(file)) {
      for (const routes of routesIn(value)) await gather(`${file.name}: line ${line}`, routes, gathered);
      if (gathered.bytes > maxChoiceBytes) {
        throw new InputError(
          `${file.name}: its choices take more than ${maxChoiceBytes} bytes of memory; give fewer responses`,
        );
      }
    }
  }
  const [{ name }] = files;
  const { lists, width } = gathered;
  if (lists.length === 0) throw new InputError(`${name}: empty stream: the responses have no token`);
  const topK = gathered.topK ?? options.topK ?? inferTopK(lists.flatMap(({ raw }) => (raw === null ? [] : [raw])));
  if (topK === null || width % topK !== 0) {
    throw new InputError(
      `${name}: ${counted(width, "expert")} of a token cannot be cut into layers of ${topK ?? "any number"}; give --top-k`,
    );
  }
  const layers = new Map<number, Part[]>();
  for (const { tensor } of lists) {
    const shape = [tensor.shape[0], width / topK, topK];
    const cut = tensor.shape.length === 3 ? tensor : { ...tensor, shape, strides: packedStrides(shape) };
    addParts(layers, arrange(cut, "selections", ["tokens", "layers", "topK"]).layers);
  }
  const isInferred = gathered.topK === null && options.topK === undefined;
  return {
    what: `routed experts of ${gathered.responses} response${gathered.responses === 1 ? "" : "s"}`,
    content: "selections",
    layers: layersOf(layers),
    hasLayers: true,
    hasSteps: false,
    experts: null,
    topK,
    notes: isInferred
      ? [`${counted(topK, "expert")} per token, as the ids repeat; give --top-k if it is another number.`]
      : [],
  };
}

/** Adds the choices of one list to those before it. `place` is the file and the line. */
async function gather(place: string, { value, beside }: Routes, gathered: Gathered): Promise<void> {
  gathered.responses += 1;
  if (Array.isArray(value)) {
    gatherLists(place, value, gathered);
    return;
  }
  if (typeof value !== "string") throw new InputError(`${place}: routed experts are neither a list nor base64`);
  const bytes = decodeBase64(place, value);
  if (bytes[0] === 0x93 && bytes[1] === 0x4e) {
    const tensor = await storedNpy(bytesSource(bytes, place));
    if (tensor.shape.length !== 3 || tensor.element.kind !== "integer") {
      throw new InputError(
        `${place}: routed experts are an array of another kind than integers [tokens, layers, topK]`,
      );
    }
    const [tokens, layers, topK] = tensor.shape;
    setShape(place, layers, topK, gathered);
    if (tokens === 0) return;
    keep({ tensor, raw: null }, gathered);
    return;
  }
  // SGLang: raw int32, for all tokens but the last.
  const [prompt, completion] = [beside.get("prompt_tokens"), beside.get("completion_tokens")];
  const tokens = typeof prompt === "number" && typeof completion === "number" ? prompt + completion - 1 : Number.NaN;
  const width = bytes.length / 4 / tokens;
  if (!(Number.isInteger(width) && width >= 1)) {
    throw new InputError(
      `${place}: ${bytes.length} bytes of raw integers cannot be cut into tokens; prompt_tokens and completion_tokens beside ` +
        "them must say how many there are",
    );
  }
  setWidth(place, width, gathered);
  const view = new DataView(bytes.buffer);
  const values = Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
  keep(
    { tensor: tensorOf(values, [tokens, width], place), raw: { values, lengths: Array(tokens).fill(width) } },
    gathered,
  );
}

function keep(list: RoutedTokens, gathered: Gathered): void {
  gathered.lists.push(list);
  gathered.bytes += list.tensor.source.byteLength;
}

function gatherLists(place: string, tokens: readonly unknown[], gathered: Gathered): void {
  const choices = new NumberList("integer");
  for (const token of tokens) {
    const layers = Array.isArray(token) ? token : [];
    const [first] = layers;
    if (!Array.isArray(first)) throw new InputError(`${place}: routed experts are not lists [tokens, layers, topK]`);
    setShape(place, layers.length, first.length, gathered);
    for (const slots of layers) {
      if (!Array.isArray(slots) || slots.length !== first.length) {
        throw new InputError(`${place}: routed experts differ in their number from layer to layer`);
      }
      for (const expert of slots) {
        if (!(Number.isInteger(expert) && expert >= -1 && expert < 65_536)) {
          throw new InputError(`${place}: routed experts hold something else than experts`);
        }
        choices.push(expert);
      }
    }
  }
  if (tokens.length === 0) return;
  const shape = [tokens.length, gathered.width / gathered.topK!, gathered.topK!];
  keep({ tensor: tensorOf(choices.toArray(), shape, place), raw: null }, gathered);
}

function setShape(place: string, layers: number, topK: number, gathered: Gathered): void {
  setWidth(place, layers * topK, gathered);
  if ((gathered.topK ?? topK) !== topK) {
    throw new InputError(`${place}: ${counted(topK, "expert")} per token, unlike the ${gathered.topK} before`);
  }
  gathered.topK = topK;
}

function setWidth(place: string, width: number, gathered: Gathered): void {
  if (!(width >= 1 && width <= 1 << 20)) throw new InputError(`${place}: ${counted(width, "expert")} for one token`);
  if (gathered.width !== 0 && gathered.width !== width) {
    throw new InputError(
      `${place}: ${counted(width, "expert")} per token over all layers, unlike the ${gathered.width} before`,
    );
  }
  gathered.width = width;
}

function decodeBase64(place: string, text: string): Uint8Array<ArrayBuffer> {
  try {
    const characters = atob(text);
    const bytes = new Uint8Array(characters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
    return bytes;
  } catch {
    throw new InputError(`${place}: ${quoteName("routed_experts")} is malformed base64`);
  }
}

/**
 * Returns the largest number of experts per token into which lists of ids can be cut so that no token has an expert twice;
 * tokens of zeros, in layers without experts, aside. Null if there is none.
 *
 * @param lists ids, and the lengths of the runs that hold whole tokens
 */
export function inferTopK(lists: readonly { values: ArrayLike<number>; lengths: readonly number[] }[]): number | null {
  const lengths = new Set(lists.flatMap((list) => list.lengths));
  for (let topK = maxTopK; topK >= 1; topK--) {
    if ([...lengths].some((length) => length % topK !== 0)) continue;
    if (lists.every(({ values }) => hasDistinctBlocks(values, topK))) return topK;
  }
  return null;
}

function hasDistinctBlocks(values: ArrayLike<number>, size: number): boolean {
  const seen = new Map<number, number>();
  for (let begin = 0, block = 1; begin < values.length; begin += size, block++) {
    let isZero = true;
    for (let i = begin; i < begin + size; i++) isZero &&= values[i] === 0;
    if (isZero) continue;
    for (let i = begin; i < begin + size; i++) {
      if (values[i] === -1) continue;
      if (seen.get(values[i]) === block) return false;
      seen.set(values[i], block);
    }
  }
  return true;
}
