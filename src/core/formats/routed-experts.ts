/** Routed experts in the responses of vLLM and SGLang, for replay in training (R3). */
import { InputError } from "../input-error.ts";
import { bytesSource, type Source } from "../source.ts";
import { arrange } from "./arrange.ts";
import { entriesOf } from "./captures.ts";
import { jsonDocuments } from "./lines.ts";
import { quoteName } from "./messages.ts";
import { storedNpy } from "./npy.ts";
import type { Found, RecordingOptions } from "./recording.ts";
import { rowsOf, tensorOf } from "./stored-tensor.ts";
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

/** Choices of tokens, before it is known how a row divides into layers. */
interface Gathered {
  /** Layers and slots of a token; null if the bytes do not say. */
  layers: number | null;
  topK: number | null;
  /** Layers × slots. */
  width: number;
  readonly choices: NumberList;
  responses: number;
}

/** Opens responses with routed experts: JSON, one per line or one per file. Nothing else of them is read. */
export async function openResponses(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const gathered: Gathered = { layers: null, topK: null, width: 0, choices: new NumberList("integer"), responses: 0 };
  for (const file of files) {
    for await (const { value, line } of jsonDocuments(file)) {
      for (const routes of routesIn(value)) await gather(`${file.name}: line ${line}`, routes, gathered);
      if (gathered.choices.byteLength > maxChoiceBytes) {
        throw new InputError(
          `${file.name}: its choices take more than ${maxChoiceBytes} bytes of memory; give fewer responses`,
        );
      }
    }
  }
  const [{ name }] = files;
  const { choices, width } = gathered;
  if (choices.length === 0) throw new InputError(`${name}: empty stream: the responses have no token`);
  const tokens = choices.length / width;
  const topK =
    gathered.topK ?? options.topK ?? inferTopK([{ values: choices.toArray(), lengths: Array(tokens).fill(width) }]);
  if (topK === null || width % topK !== 0) {
    throw new InputError(
      `${name}: ${width} experts of a token cannot be cut into layers of ${topK ?? "any number"}; give --top-k`,
    );
  }
  const stored = tensorOf(choices.toArray(), [tokens, width / topK, topK], name);
  const { layers } = arrange(stored, "selections", ["tokens", "layers", "topK"]);
  const isInferred = gathered.topK === null && options.topK === undefined;
  return {
    what: `routed experts of ${gathered.responses} response${gathered.responses === 1 ? "" : "s"}`,
    content: "selections",
    layers: layers.map((parts, id) => ({ id, parts })),
    hasLayers: true,
    hasSteps: false,
    experts: null,
    topK,
    notes: isInferred ? [`${topK} experts per token, as the ids repeat; give --top-k if it is another number.`] : [],
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
    const rows = rowsOf({ ...tensor, shape: [tokens, layers * topK], strides: [layers * topK, 1] });
    const row = new Float64Array(layers * topK);
    for (let token = 0; token < tokens; token++) {
      await rows.read(row, 0, token, 1);
      for (const expert of row) gathered.choices.push(expert);
    }
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
  for (let i = 0; i < bytes.length; i += 4) gathered.choices.push(view.getInt32(i, true));
}

function gatherLists(place: string, tokens: readonly unknown[], gathered: Gathered): void {
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
        gathered.choices.push(expert);
      }
    }
  }
}

function setShape(place: string, layers: number, topK: number, gathered: Gathered): void {
  setWidth(place, layers * topK, gathered);
  if ((gathered.topK ?? topK) !== topK) {
    throw new InputError(`${place}: ${topK} experts per token, unlike the ${gathered.topK} before`);
  }
  gathered.layers = layers;
  gathered.topK = topK;
}

function setWidth(place: string, width: number, gathered: Gathered): void {
  if (!(width >= 1 && width <= 1 << 20)) throw new InputError(`${place}: ${width} experts for one token`);
  if (gathered.width !== 0 && gathered.width !== width) {
    throw new InputError(`${place}: ${width} experts per token over all layers, unlike the ${gathered.width} before`);
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
