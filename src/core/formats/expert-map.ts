import { parse } from "yaml";
import { InputError } from "../input-error.ts";
import { counted, listed } from "../words.ts";

/** Engines that read placements from a file. */
export const expertMapFormats = ["sglang", "tensorrt-llm", "vllm-ascend"] as const;
export type ExpertMapFormat = (typeof expertMapFormats)[number];

/** Placements of a model's layers, as an engine reads them. */
export interface ExpertMap {
  readonly format: ExpertMapFormat;
  /** Null if the format does not say. */
  readonly gpus: number | null;
  /**
   * `[slots]` for each layer, the expert in each slot, GPU by GPU; all of one length. Layers have the model's numbers; with
   * vllm-ascend they are its layers with experts, numbered from 0.
   */
  readonly layers: ReadonlyMap<number, Int32Array>;
}

/**
 * Reads a map, whose format follows from its keys:
 *
 *     SGLang        JSON `{physical_to_logical_map: [[…], …]}`, a row for each of the model's layers, dense ones as well
 *     TensorRT-LLM  YAML `{num_slots, initial_global_assignments: {layer: […]}, …}`
 *     vllm-ascend   JSON `{moe_layer_count, layer_list: [{layer_id, device_count, device_list: [{device_id, device_expert}]}]}`
 *
 * Throws `InputError`, which begins with `name`, if it is none of these, or not as it should be.
 */
export function parseExpertMap(text: string, name: string): ExpertMap {
  let written: unknown;
  try {
    // JSON is YAML.
    written = parse(text);
  } catch {
    throw new InputError(`${name}: neither JSON nor YAML; give an expert map of ${formatNames}`);
  }
  if (!isObject(written)) throw new InputError(`${name}: not an expert map; give one of ${formatNames}`);
  if ("physical_to_logical_map" in written) {
    const rows = listOf(written.physical_to_logical_map, `${name}: physical_to_logical_map`);
    return check(name, "sglang", null, new Map(rows.map((row, layer) => [layer, row])));
  }
  if ("initial_global_assignments" in written) {
    const assignments = written.initial_global_assignments;
    if (!isObject(assignments)) {
      throw new InputError(`${name}: initial_global_assignments: expected a list of experts for each layer`);
    }
    return check(
      name,
      "tensorrt-llm",
      null,
      new Map(Object.entries(assignments).map(([key, row]) => [Number(key), row])),
    );
  }
  if ("layer_list" in written) return parseAscendMap(written, name);
  throw new InputError(
    `${name}: not an expert map: none of the keys physical_to_logical_map (SGLang), initial_global_assignments ` +
      "(TensorRT-LLM), layer_list (vllm-ascend)",
  );
}

const formatNames = "SGLang, TensorRT-LLM or vllm-ascend";

function parseAscendMap(written: Record<string, unknown>, name: string): ExpertMap {
  const layers = new Map<number, unknown>();
  let gpus: number | null = null;
  listOf(written.layer_list, `${name}: layer_list`).forEach((entry, at) => {
    const where = `${name}: layer_list[${at}]`;
    if (!isObject(entry)) throw new InputError(`${where}: expected layer_id, device_count and device_list`);
    checkPlace(entry.layer_id, at, `${where}.layer_id`);
    const devices = listOf(entry.device_list, `${where}.device_list`).map((device, rank) => {
      const place = `${where}.device_list[${rank}]`;
      if (!isObject(device)) throw new InputError(`${place}: expected device_id and device_expert`);
      checkPlace(device.device_id, rank, `${place}.device_id`);
      const experts = listOf(device.device_expert, `${place}.device_expert`);
      const second = experts.find((expert, slot) => experts.indexOf(expert) < slot);
      if (second === undefined) return experts;
      throw new InputError(
        `${place}.device_expert: ${JSON.stringify(second)} twice; vllm-ascend knows one slot of an expert on a device`,
      );
    });
    if (new Set(devices.map(({ length }) => length)).size > 1) {
      throw new InputError(`${where}: devices with different numbers of experts; all must have as many`);
    }
    if (gpus !== null && gpus !== devices.length) {
      throw new InputError(`${where}: ${devices.length} devices, but another layer has ${gpus}`);
    }
    gpus = devices.length;
    layers.set(at, devices.flat());
  });
  const { moe_layer_count: count } = written;
  if (count !== undefined && count !== layers.size) {
    throw new InputError(
      `${name}: moe_layer_count is ${JSON.stringify(count)}, but layer_list has ${counted(layers.size, "layer")}`,
    );
  }
  return check(name, "vllm-ascend", gpus, layers);
}

/** vllm-ascend finds layers and devices by their places in the lists, and does not read their ids. */
function checkPlace(id: unknown, place: number, where: string): void {
  if (id === undefined || id === place) return;
  throw new InputError(
    `${where}: ${JSON.stringify(id)} in place ${place}; vllm-ascend goes by the place in the list, so put it in order`,
  );
}

function check(
  name: string,
  format: ExpertMapFormat,
  gpus: number | null,
  rows: ReadonlyMap<number, unknown>,
): ExpertMap {
  const layers = new Map<number, Int32Array>();
  let slots: number | null = null;
  for (const [layer, row] of rows) {
    if (!(Number.isInteger(layer) && layer >= 0)) throw new InputError(`${name}: ${layer} is not the id of a layer`);
    const experts = listOf(row, `${name}: layer ${layer}`);
    const wrong = experts.findIndex((e) => !(typeof e === "number" && Number.isInteger(e) && e >= 0 && e < 2 ** 31));
    if (wrong >= 0) {
      throw new InputError(`${name}: layer ${layer}, slot ${wrong}: expected an expert, an integer from 0`);
    }
    slots ??= experts.length;
    if (experts.length !== slots) {
      throw new InputError(`${name}: layer ${layer} has ${counted(experts.length, "slot")}, but others have ${slots}`);
    }
    layers.set(layer, Int32Array.from(experts as number[]));
  }
  if (slots === null || slots === 0) throw new InputError(`${name}: the map has no layers or no slots`);
  return { format, gpus, layers };
}

/** Throws `InputError` unless every one of `experts` experts, and no other, has a slot in every layer. */
export function checkExperts({ layers }: ExpertMap, experts: number, name: string): void {
  for (const [layer, expertOfSlot] of layers) {
    const unknown = expertOfSlot.findIndex((e) => e >= experts);
    if (unknown >= 0) {
      throw new InputError(
        `${name}: layer ${layer}, slot ${unknown}: expert ${expertOfSlot[unknown]}, but the loads have ${counted(experts, "expert")}`,
      );
    }
    const placed = new Set(expertOfSlot);
    if (placed.size === experts) continue;
    const missing = Array.from({ length: experts }, (_, e) => e).filter((e) => !placed.has(e));
    throw new InputError(`${name}: layer ${layer}: no slot for ${listed(missing.map((e) => `expert ${e}`))}`);
  }
}

/**
 * Returns the text of a map:
 *
 *     SGLang        a row for each of the model's layers from 0, of which there are `modelLayers`, at least up to the last of
 *                   `layers`; rows of the others, dense ones, hold the experts in order, as SGLang's own do
 *     TensorRT-LLM  by the model's numbers of layers; those without experts are left out
 *     vllm-ascend   the layers in their order, numbered from 0; no GPU may hold an expert twice
 */
export function expertMapText(
  { format, gpus, layers }: ExpertMap & { readonly gpus: number },
  experts: number,
  modelLayers = 0,
): string {
  const ids = Array.from(layers.keys()).sort((a, b) => a - b);
  const slots = layers.get(ids[0])!.length;
  switch (format) {
    case "sglang": {
      const inOrder = Array.from({ length: slots }, (_, slot) => slot % experts);
      const rows = Array.from({ length: Math.max(modelLayers, ids[ids.length - 1] + 1) }, (_, layer) =>
        Array.from(layers.get(layer) ?? inOrder),
      );
      return `${JSON.stringify({ physical_to_logical_map: rows })}\n`;
    }
    case "tensorrt-llm": {
      const rows = ids.map((id) => `  ${id}: [${Array.from(layers.get(id)!).join(", ")}]\n`);
      return `num_slots: ${slots}\ninitial_global_assignments:\n${rows.join("")}layer_updates_per_iter: 0\n`;
    }
    case "vllm-ascend": {
      const perGpu = slots / gpus;
      const written = ids.map((id, position) => ({
        layer_id: position,
        device_count: gpus,
        device_list: Array.from({ length: gpus }, (_, gpu) => ({
          device_id: gpu,
          device_expert: Array.from(layers.get(id)!.subarray(gpu * perGpu, (gpu + 1) * perGpu)),
        })),
      }));
      return `${JSON.stringify({ moe_layer_count: ids.length, layer_list: written })}\n`;
    }
  }
}

function listOf(value: unknown, where: string): unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw new InputError(`${where}: expected a list`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
