/** What Megatron-LM writes about its routers: traces with logits, and tokens per expert. */

import { InputError } from "../input-error.ts";
import type { Source } from "../source.ts";
import { counted } from "../words.ts";
import { type ElementType, elementTypes } from "./element-type.ts";
import { jsonDocuments } from "./lines.ts";
import { listNames, shorten } from "./messages.ts";
import type { Part } from "./recorded-layer.ts";
import type { Found, RecordingOptions } from "./recording.ts";
import { checkedTensor, rowsOf, type StoredTensor, tensorOf } from "./stored-tensor.ts";
import { NumberList } from "./tables.ts";

type Fields = Readonly<Record<string, unknown>>;

const maxBytes = 2 ** 30;
const [maxLayer, maxTopK, maxExperts] = [4095, 1024, 65_536];

/** Yields the records of a file that are of the decoder; those of other blocks (multi-token prediction) are counted. */
async function* recordsOf(
  file: Source,
  others: Map<string, number>,
): AsyncGenerator<{ fields: Fields; place: string; layer: number }> {
  for await (const { value, line } of jsonDocuments(file)) {
    const place = `${file.name}: line ${line}`;
    if (typeof value !== "object" || value === null) throw new InputError(`${place}: expected a record`);
    const fields = value as Fields;
    const { block, layer } = fields;
    if ((typeof block === "string" && block !== "decoder") || typeof fields.mtp_idx === "number") {
      const name = typeof fields.mtp_idx === "number" ? "mtp" : shorten(String(block));
      others.set(name, (others.get(name) ?? 0) + 1);
      continue;
    }
    yield { fields, place, layer: integer(place, "layer", layer, maxLayer) };
  }
}

function integer(place: string, what: string, value: unknown, most: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new InputError(`${place}: its ${what} is not an integer from 0 to ${most}`);
}

function othersNote(others: ReadonlyMap<string, number>): string[] {
  if (others.size === 0) return [];
  return [
    `Left out: the records of other blocks than the decoder, ${listNames(Array.from(others, ([name, count]) => `${count} of ${name}`))}.`,
  ];
}

/** Returns the rank in a file's name; 0 if there is none. */
function rankOf(name: string): number {
  return Number(/rank_?(\d+)[^\d/\\]*$/.exec(name)?.[1] ?? 0);
}

function byRank(files: readonly Source[]): Source[] {
  return [...files].sort((a, b) => rankOf(a.name) - rankOf(b.name) || (a.name < b.name ? -1 : 1));
}

function stepsOf(named: ReadonlySet<number>): ReadonlyMap<number, number> {
  return new Map([...named].sort((a, b) => a - b).map((step, place) => [step, place]));
}

/**
 * Opens `tokens_per_expert/rank{r}.jsonl`: records `{iter, block, layer, tpe}` with `tpe` `[microbatches, experts of the
 * rank]`. Ranks of expert parallelism stand side by side; microbatches are summed.
 */
export async function openTokensPerExpert(files: readonly Source[]): Promise<Found> {
  const others = new Map<string, number>();
  const named = new Set<number>();
  const found: { layer: number; iteration: number; counts: NumberList; width: number; first: number; file: string }[] =
    [];
  let experts = 0;
  let held = 0;
  for (const file of byRank(files)) {
    let width = 0;
    for await (const { fields, place, layer } of recordsOf(file, others)) {
      const iteration = integer(place, "iter", fields.iter, Number.MAX_SAFE_INTEGER);
      if (!Array.isArray(fields.tpe)) throw new InputError(`${place}: its tpe is not a list of counts`);
      const microbatches: unknown[] = Array.isArray(fields.tpe[0]) ? fields.tpe : [fields.tpe];
      const counts = new NumberList("integer");
      for (const row of microbatches) {
        if (!Array.isArray(row) || row.length === 0) throw new InputError(`${place}: its tpe is not lists of counts`);
        if (width === 0) width = row.length;
        if (row.length !== width)
          throw new InputError(`${place}: ${counted(row.length, "expert")}, unlike the ${width} before`);
        for (const count of row) counts.push(integer(place, "tpe", count, Number.MAX_SAFE_INTEGER));
      }
      held += counts.byteLength + 400;
      if (held > maxBytes) throw new InputError(`${file.name}: its counts take more than ${maxBytes} bytes of memory`);
      named.add(iteration);
      found.push({ layer, iteration, counts, width, first: experts, file: file.name });
    }
    experts += width;
  }
  if (found.length === 0) throw new InputError(`${files[0].name}: empty stream: it has no records of a decoder`);
  if (experts > maxExperts)
    throw new InputError(`${files[0].name}: the ranks have ${counted(experts, "expert")}; no model has so many`);
  const steps = stepsOf(named);
  const layers = new Map<number, Part[]>();
  const places = new Map<string, Int32Array>();
  for (const { layer, iteration, counts, width, first, file } of found) {
    const key = `${first} ${width}`;
    const expertOf = places.get(key) ?? Int32Array.from({ length: width }, (_, i) => first + i);
    places.set(key, expertOf);
    const rows = rowsOf(tensorOf(counts.toArray(), [counts.length / width, width], file));
    const own = layers.get(layer) ?? [];
    own.push({ rows, step: steps.get(iteration)!, rowsPerStep: Math.max(1, rows.rows), expertOf });
    layers.set(layer, own);
  }
  return {
    what: `tokens per expert of Megatron-LM (${files.length} rank${files.length === 1 ? "" : "s"} side by side)`,
    content: "loads",
    layers: Array.from(layers, ([id, parts]) => ({ id, parts })),
    hasLayers: true,
    hasSteps: true,
    experts,
    topK: null,
    notes: othersNote(others),
  };
}

const traceElements: Readonly<Record<number, ElementType>> = { 2: elementTypes.bfloat16, 4: elementTypes.float32 };

/**
 * Opens `router_trace_rank{r}.jsonl`: records of choices, `top_indices` `[tokens, topK]`, and of where the logits are in
 * `logits_rank{r}.bin`, if those are among the files. Holds the choices, and the logits beside them: the largest logits can be
 * others than those chosen, since they were rounded when they were written. If only logits are wanted, no choices are kept.
 */
export async function openRouterTrace(
  files: readonly Source[],
  { as }: RecordingOptions,
  beside: readonly Source[],
): Promise<Found> {
  const traces = byRank(files);
  const others = new Map<string, number>();
  const named = new Set<number>();
  const records: {
    layer: number;
    step: number;
    place: string;
    first: number;
    tokens: number;
    /** Not the whole record, which holds its choices as lists. */
    logits: LogitPlace;
    bin: Source | undefined;
    file: string;
  }[] = [];
  const choices = new NumberList("integer");
  const stages = new Set<string>();
  let topK = 0;
  for (const file of traces) {
    const bin = beside.find(({ name }) => name.endsWith(".bin") && rankOf(name) === rankOf(file.name));
    for await (const { fields, place, layer } of recordsOf(file, others)) {
      if (typeof fields.stage === "string") stages.add(fields.stage);
      if (stages.size > 1)
        throw new InputError(`${place}: a second stage, ${shorten(String(fields.stage))}; keep the records of one`);
      const step = integer(place, "step", fields.step, Number.MAX_SAFE_INTEGER);
      const { top_indices: indices } = fields;
      if (!Array.isArray(indices)) throw new InputError(`${place}: its top_indices are not a list`);
      const first = choices.length;
      for (const token of indices) {
        if (!Array.isArray(token) || token.length === 0 || token.length > maxTopK)
          throw new InputError(`${place}: its top_indices are not lists of experts`);
        if (topK === 0) topK = token.length;
        if (token.length !== topK)
          throw new InputError(`${place}: ${counted(token.length, "expert")} for a token, unlike the ${topK} before`);
        if (as === "logits") continue;
        for (const expert of token) choices.push(expert === -1 ? -1 : integer(place, "expert", expert, maxExperts - 1));
      }
      if (indices.length === 0) continue;
      if (choices.byteLength > maxBytes)
        throw new InputError(`${file.name}: its choices take more than ${maxBytes} bytes of memory`);
      named.add(step);
      const { logit_offset: offset, logit_bytes: bytes, logit_shape: shape } = fields;
      records.push({
        layer,
        step,
        place,
        first,
        tokens: indices.length,
        logits: { offset, bytes, shape },
        bin,
        file: file.name,
      });
    }
  }
  if (records.length === 0) throw new InputError(`${traces[0].name}: empty stream: it has no choices of a decoder`);
  const steps = stepsOf(named);
  const all = choices.toArray();
  const layers = new Map<number, Part[]>();
  const logits = new Map<number, Part[]>();
  let experts = 0;
  const without = new Set(records.filter(({ bin }) => bin === undefined).map(({ file }) => file));
  if (as === "logits" && without.size > 0) {
    throw new InputError(
      `${listNames([...without].map(shorten))}: the logits are in logits_rank*.bin, which is not among the files; name the folder on the command line, which reads all of its files`,
    );
  }
  for (const { layer, step, place, first, tokens, logits: stored, bin } of records) {
    if (as !== "logits") {
      const own = layers.get(layer) ?? [];
      layers.set(layer, own);
      const values = all.subarray(first, first + tokens * topK);
      own.push({ rows: rowsOf(tensorOf(values, [tokens, topK], place)), step: steps.get(step)!, rowsPerStep: tokens });
    }
    if (bin === undefined || without.size > 0) continue;
    const tensor = storedLogits(place, stored, bin, tokens);
    experts = tensor.shape[1];
    const ownLogits = logits.get(layer) ?? [];
    logits.set(layer, ownLogits);
    ownLogits.push({ rows: rowsOf(tensor), step: steps.get(step)!, rowsPerStep: tokens });
  }
  const common = { hasLayers: true, hasSteps: true };
  const what = `router trace of Megatron-LM (${traces.length} rank${traces.length === 1 ? "" : "s"})`;
  const hasLogits = logits.size > 0;
  const ofLogits: Found = {
    what,
    content: "logits",
    layers: Array.from(logits, ([id, parts]) => ({ id, parts })),
    ...common,
    experts,
    topK: null,
    notes: othersNote(others),
  };
  if (as === "logits") return ofLogits;
  const missing = `The logits are in logits_rank*.bin, which is not among the files for ${listNames([...without].map(shorten))}; name the folder to have them too.`;
  return {
    what,
    content: "selections",
    layers: Array.from(layers, ([id, parts]) => ({ id, parts })),
    ...common,
    experts: hasLogits ? experts : null,
    topK,
    notes: [...othersNote(others), ...(hasLogits ? [] : [missing])],
    beside: hasLogits ? ofLogits : undefined,
  };
}

/** What a record says of where its logits are, unchecked. */
interface LogitPlace {
  readonly offset: unknown;
  readonly bytes: unknown;
  readonly shape: unknown;
}

function storedLogits(place: string, { offset, bytes, shape }: LogitPlace, bin: Source, tokens: number): StoredTensor {
  if (
    !Array.isArray(shape) ||
    shape.length !== 2 ||
    shape[0] !== tokens ||
    !(Number.isInteger(shape[1]) && shape[1] >= 1 && shape[1] <= maxExperts) ||
    typeof offset !== "number" ||
    typeof bytes !== "number" ||
    !Object.hasOwn(traceElements, bytes / (shape[0] * shape[1]))
  ) {
    throw new InputError(
      `${place}: its logit_offset, logit_bytes and logit_shape do not fit its ${counted(tokens, "token")}`,
    );
  }
  const element = traceElements[bytes / (shape[0] * shape[1])];
  return checkedTensor({ source: bin, element, littleEndian: true, shape, strides: [shape[1], 1], begin: offset });
}
