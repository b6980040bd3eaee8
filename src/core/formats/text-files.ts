/** Text: which family a file is of, and the small formats of one number after another. */

import { InputError } from "../input-error.ts";
import type { Source } from "../source.ts";
import { counted } from "../words.ts";
import { stemOf } from "./arrange.ts";
import { foundInCaptures } from "./captures.ts";
import { jsonDocuments, linesOf } from "./lines.ts";
import { openRouterTrace, openTokensPerExpert } from "./megatron.ts";
import type { LayerParts } from "./recorded-layer.ts";
import type { Family, Found, RecordingOptions } from "./recording.ts";
import { hasRoutedExperts, inferTopK, openResponses } from "./routed-experts.ts";
import { rowsOf, tensorOf } from "./stored-tensor.ts";
import { NumberList, openTextTable } from "./tables.ts";

/** Balancedness as vLLM (`balancedness=0.45`) and SGLang (`current_pass_balancedness=0.41`) log it, once per step. */
const balancednessPattern = /(?:^|[\s,])(?:current_pass_)?balancedness=(\d+(?:\.\d+)?)/;
/** First line of colibrì's usage: `-1 layers experts`. */
const colibriPattern = /^-1 \d+ \d+\s*$/;
/** A line of ESFT's expert weights: ids, an empty field, weights. */
const esftPattern = /^\d+(\t\d+)*\t\t-?[\d.]/;

/** Finds out what text `file` is. Throws `InputError` if it is none, or text that is known to hold no routing data. */
export async function textFamily(file: Source, head: Uint8Array): Promise<Family> {
  const text = new TextDecoder().decode(head);
  const isUtf16 = head[0] === 0xff && head[1] === 0xfe;
  if (!isUtf16 && head.includes(0)) {
    if (/logits_rank\d+\.bin$/.test(file.name)) return { key: "beside logits", open: refuseLogits };
    throw new InputError(
      `${file.name}: of no known kind; arrays (.npy, .npz, .safetensors, .pt), tables (.csv, .parquet), GGUF, pickles and ` +
        "the JSON and text of inference engines can be read",
    );
  }
  const trimmed = text.trimStart();
  const first = trimmed.split("\n", 1)[0];
  if (balancednessPattern.test(text)) return { key: "log of balancedness", open: openLog };
  if (/^(initial_global_assignments|num_slots|layer_updates_per_iter):/.test(first)) {
    throw new InputError(`${file.name}: a placement of experts on devices, which holds no loads, choices or logits`);
  }
  if (colibriPattern.test(first)) return { key: "usage of colibri", open: openColibri };
  if (esftPattern.test(first)) return { key: "expert weights of ESFT", open: openEsft };
  if (trimmed.startsWith("{") || trimmed.startsWith("[")) return jsonFamily(file);
  if (head.length >= 4 && /logits_rank\d+\.bin$/.test(file.name)) return { key: "beside logits", open: refuseLogits };
  return { key: "table", generality: 2, open: openTextTable };
}

async function refuseLogits([{ name }]: readonly Source[]): Promise<Found> {
  throw new InputError(`${name}: the logits of a router trace, without the router_trace file that says where each is`);
}

async function jsonFamily(file: Source): Promise<Family> {
  for await (const { value } of jsonDocuments(file)) {
    const keys = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
    if (keys.includes("top_indices") && keys.includes("layer"))
      return { key: "Megatron-LM router trace", open: openRouterTrace };
    if (keys.includes("tpe")) return { key: "Megatron-LM tokens per expert", open: openTokensPerExpert };
    if (hasRoutedExperts(value)) return { key: "routed experts", open: openResponses };
    if (keys.includes("num_experts") && keys.includes("num_experts_per_token")) {
      return { key: "beside meta_info", open: async () => foundInJson([file], {}) };
    }
    return { key: "JSON", generality: 2, open: foundInJson };
  }
  throw new InputError(`${file.name}: empty stream: the file has no JSON`);
}

/** One JSON document per file. */
async function foundInJson(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const captures: { file: string; value: unknown }[] = [];
  for (const file of files) {
    for await (const { value, line } of jsonDocuments(file)) {
      if (captures.some(({ file: seen }) => seen === file.name)) {
        throw new InputError(
          `${file.name}: line ${line}: several JSON documents, of no kind that is known by the line`,
        );
      }
      captures.push({ file: file.name, value });
    }
  }
  return foundInCaptures("JSON", captures, options);
}

/** Balancedness of each step from the lines of a log that have one. Other lines are not looked at. */
async function openLog(files: readonly Source[]): Promise<Found> {
  const values = new NumberList("float");
  for (const file of files) {
    for await (const { text, number } of linesOf(file)) {
      const match = balancednessPattern.exec(text);
      if (match === null) continue;
      const value = Number(match[1]);
      if (!(value >= 0 && value <= 1)) {
        throw new InputError(`${file.name}: line ${number}: a balancedness of ${value}; expected a number from 0 to 1`);
      }
      values.push(value);
    }
  }
  const tensor = tensorOf(Float64Array.from(values.toArray()), [values.length, 1], files[0].name);
  return {
    what: "log of an engine's load balancer",
    content: "balancedness",
    layers: [{ id: 0, parts: [{ rows: rowsOf(tensor), step: 0, rowsPerStep: 1 }] }],
    hasLayers: false,
    hasSteps: true,
    experts: null,
    topK: null,
    notes: ["A log holds the balancedness of ranks, mean load over the largest, and nothing about experts."],
  };
}

const [maxLayers, maxExperts] = [4096, 65_536];

/** colibrì's usage of experts: `-1 layers experts`, `-2 …`, then `layer expert count`. Rows that are missing are 0. */
async function openColibri(files: readonly Source[]): Promise<Found> {
  const [file] = files;
  if (files.length > 1) throw new InputError(`${file.name} and ${files.length - 1} more: name one usage file`);
  let experts = 0;
  let layers = 0;
  const byLayer = new Map<number, Float64Array<ArrayBuffer>>();
  for await (const { text, number } of linesOf(file)) {
    const fields = text.trim().split(/\s+/).map(Number);
    if (text.trim() === "") continue;
    const [first, second, third] = fields;
    if (first === -1) [layers, experts] = [second, third];
    if (!(Number.isInteger(experts) && experts >= 1 && experts <= maxExperts && layers >= 1 && layers <= maxLayers)) {
      throw new InputError(
        `${file.name}: line ${number}: ${counted(layers, "layer")} × ${counted(experts, "expert")} is no size of a model`,
      );
    }
    if (first < 0) continue;
    if (
      fields.length !== 3 ||
      !fields.every((value) => Number.isSafeInteger(value) && value >= 0) ||
      first >= layers ||
      second >= experts
    ) {
      throw new InputError(
        `${file.name}: line ${number}: expected layer, expert and count, of ${counted(layers, "layer")} and ${counted(experts, "expert")}`,
      );
    }
    let row = byLayer.get(first);
    if (row === undefined) {
      row = new Float64Array(experts);
      byLayer.set(first, row);
    }
    row[second] += third;
  }
  const found = Array.from(byLayer, ([id, row]): LayerParts => {
    const rows = rowsOf(tensorOf(row, [1, experts], file.name));
    return { id, parts: [{ rows, step: 0, rowsPerStep: 1 }] };
  });
  return {
    what: "usage of experts of colibrì",
    content: "loads",
    layers: found,
    hasLayers: true,
    hasSteps: true,
    experts,
    topK: null,
    notes: [],
  };
}

/** ESFT's expert weights: a file per layer, a line per sequence, K·tokens ids, an empty field, as many weights. */
async function openEsft(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const lists: { id: number; file: Source; choices: NumberList; lengths: number[] }[] = [];
  for (const [position, file] of files.entries()) {
    const number = /(\d+)$/.exec(stemOf(file.name).replace(/\D+$/, ""));
    const choices = new NumberList("integer");
    const lengths: number[] = [];
    for await (const { text, number: line } of linesOf(file)) {
      if (text.trim() === "") continue;
      const [ids] = text.split("\t\t", 1);
      const own = ids.split("\t");
      for (const id of own) {
        if (!/^\d{1,5}$/.test(id))
          throw new InputError(`${file.name}: line ${line}: expected ids of experts, separated by tabs`);
        choices.push(Number(id));
      }
      lengths.push(own.length);
    }
    lists.push({ id: number === null ? position : Number(number[1]), file, choices, lengths });
  }
  const [{ file }] = lists;
  const topK = options.topK ?? inferTopK(lists.map(({ choices, lengths }) => ({ values: choices.toArray(), lengths })));
  if (topK === null || lists.some(({ lengths }) => lengths.some((length) => length % topK !== 0))) {
    throw new InputError(
      `${file.name}: the ids cannot be cut into tokens of ${topK ?? "any number of"} experts; give --top-k`,
    );
  }
  const layers = lists.map(({ id, file: own, choices }): LayerParts => {
    const tensor = tensorOf(choices.toArray(), [choices.length / topK, topK], own.name);
    return { id, parts: [{ rows: rowsOf(tensor), step: 0, rowsPerStep: Math.max(1, choices.length / topK) }] };
  });
  return {
    what: "expert weights of ESFT",
    content: "selections",
    layers,
    hasLayers: true,
    hasSteps: false,
    experts: null,
    topK,
    notes: [
      ...(options.topK === undefined
        ? [`${counted(topK, "expert")} per token, as the ids repeat; give --top-k if it is another number.`]
        : []),
      "The layer is the number in the name of the file.",
      "Weights beside the ids are left out.",
    ],
  };
}
