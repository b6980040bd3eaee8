/** Files of arrays: NumPy's, safetensors, PyTorch's and plain pickles, and what stands in them. */

import { InputError } from "../input-error.ts";
import { readBytes, type Source } from "../source.ts";
import { counted } from "../words.ts";
import { foundInArrays, foundInTensors, foundInTime, type NamedTensor } from "./arrange.ts";
import { type Capture, entriesOf, foundInCaptures } from "./captures.ts";
import { jsonDocuments } from "./lines.ts";
import { quoteName } from "./messages.ts";
import { storedNpy } from "./npy.ts";
import { openPickle, openTorch, torchPickle } from "./pickle.ts";
import type { LayerParts, Part } from "./recorded-layer.ts";
import { type Family, type Found, type RecordingOptions, refuseOption } from "./recording.ts";
import { storedSafetensors } from "./safetensors.ts";
import { rowsOf, type StoredTensor } from "./stored-tensor.ts";
import { type ArchivedFile, openZip } from "./zip.ts";

/** NumPy files: one, one per layer with its number in the name, or parts in the order of time. */
export async function openNpyFiles(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const [{ name }] = files;
  refuseOption(name, "column", options.column, "a .npy file");
  if (files.length === 1) refuseOption(name, "tensor", options.tensor, "a .npy file");
  const arrays: { file: string; tensor: StoredTensor }[] = [];
  for (const file of files) arrays.push({ file: file.name, tensor: await storedNpy(file) });
  return foundInArrays("NumPy array", arrays, options);
}

/** What a zip archive is, and how it is opened. Throws `InputError` if it holds neither arrays nor a PyTorch pickle. */
export async function archiveFamily(file: Source): Promise<Family> {
  const archived = await openZip(file);
  if (torchPickle(archived) !== undefined) return { key: "PyTorch file", generality: 1, open: openTorchFiles };
  if (archived.some(({ path }) => path.endsWith(".npy"))) return { key: ".npz", generality: 1, open: openNpz };
  throw new InputError(
    `${file.name}: a zip archive that is neither a PyTorch file (.pt) nor one of NumPy arrays (.npz)`,
  );
}

async function openTorchFiles(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  refuseOption(files[0].name, "column", options.column, "a PyTorch file");
  const captures: Capture[] = [];
  for (const file of files) captures.push({ file: file.name, value: await openTorch(file) });
  return foundInCaptures("PyTorch file", captures, options);
}

/** Plain pickles, such as a list of counters. */
export async function openPickles(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  refuseOption(files[0].name, "column", options.column, "a pickle");
  const captures: Capture[] = [];
  for (const file of files) captures.push({ file: file.name, value: await openPickle(file) });
  return foundInCaptures("Python pickle", captures, options);
}

function openNpz(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  return foundInTime(
    files.map(({ name }) => name),
    (index) => openOneNpz(files[index], options),
  );
}

async function openOneNpz(file: Source, options: RecordingOptions): Promise<Found> {
  refuseOption(file.name, "column", options.column, "a .npz file");
  const tensors: NamedTensor[] = [];
  const notes: string[] = [];
  for (const each of await openZip(file)) {
    const name = each.path.replace(/\.npy$/, "");
    if (name === each.path) continue;
    const tensor = await arrayOf(each);
    if (tensor === null) notes.push(`${quoteName(name)} holds no numbers and is left out.`);
    else tensors.push({ name, tensor });
  }
  const found = await foundInTensors("NumPy archive", file.name, tensors, options);
  return { ...found, notes: [...found.notes, ...notes] };
}

/** Number types that are no numbers to count: text, objects, dates, booleans. */
const otherTypes = /'descr': *'[<>|=][USObmMVc]/;

async function arrayOf(file: ArchivedFile) {
  const source = await file.open();
  const head = await readBytes(source, 0, Math.min(source.byteLength, 128));
  if (otherTypes.test(String.fromCharCode(...head))) return null;
  return storedNpy(source);
}

/** Keys of TensorRT-LLM's statistic: iteration and layer. */
const iterationAndLayer = /^(\d+)_(\d+)$/;

/** Safetensors: arrays by name, or TensorRT-LLM's `expert_statistic`, one file per rank. */
export async function openSafetensorsFiles(
  files: readonly Source[],
  options: RecordingOptions,
  beside: readonly Source[],
): Promise<Found> {
  const [{ name }] = files;
  refuseOption(name, "column", options.column, "a .safetensors file");
  const opened: { file: Source; tensors: NamedTensor[] }[] = [];
  for (const file of files) {
    const tensors = Array.from(await storedSafetensors(file), ([key, tensor]) => ({ name: key, tensor }));
    opened.push({ file, tensors });
  }
  const isStatistic = opened.every(
    ({ tensors }) =>
      tensors.length > 0 &&
      tensors.every(
        ({ name: key, tensor }) =>
          iterationAndLayer.test(key) && tensor.element.kind === "integer" && tensor.shape.length === 1,
      ),
  );
  if (isStatistic && options.tensor === undefined) {
    return openStatistic(
      opened.map(({ tensors }) => tensors),
      name,
      beside,
    );
  }
  return foundInTime(
    files.map(({ name: each }) => each),
    (index) => foundInTensors("safetensors file", files[index].name, opened[index].tensors, options),
  );
}

/** TensorRT-LLM's loads, summed over ranks. `meta_info.json` beside them says how many experts there are. */
async function openStatistic(
  ranks: readonly (readonly NamedTensor[])[],
  name: string,
  beside: readonly Source[],
): Promise<Found> {
  const parsed = ranks.map((tensors) =>
    tensors.map(({ name: key, tensor }) => {
      const [, iteration, layer] = iterationAndLayer.exec(key)!;
      return { iteration: Number(iteration), layer: Number(layer), tensor };
    }),
  );
  const iterations = [...new Set(parsed.flat().map(({ iteration }) => iteration))].sort((a, b) => a - b);
  const steps = new Map(iterations.map((iteration, step) => [iteration, step]));
  const layers = new Map<number, Part[]>();
  const experts = parsed[0][0].tensor.shape[0];
  for (const file of beside) {
    for await (const { value } of jsonDocuments(file)) {
      const named = entriesOf(value)?.get("num_experts");
      if (named === undefined || named === experts) continue;
      throw new InputError(
        `${file.name}: num_experts is ${Number(named)}, but ${name} has ${counted(experts, "expert")}`,
      );
    }
  }
  for (const { iteration, layer, tensor } of parsed.flat()) {
    if (tensor.shape[0] !== experts) {
      throw new InputError(
        `${name}: ${iteration}_${layer} has ${counted(tensor.shape[0], "expert")}; others have ${experts}`,
      );
    }
    const part = {
      rows: rowsOf({ ...tensor, shape: [1, experts], strides: [experts, 1] }),
      step: steps.get(iteration)!,
      rowsPerStep: 1,
    };
    const own = layers.get(layer);
    if (own === undefined) layers.set(layer, [part]);
    else own.push(part);
  }
  return {
    what: `TensorRT-LLM expert statistic (${ranks.length} rank${ranks.length === 1 ? "" : "s"})`,
    content: "loads",
    layers: Array.from(layers, ([id, parts]): LayerParts => ({ id, parts })),
    hasLayers: true,
    hasSteps: true,
    experts,
    topK: null,
    notes: [],
  };
}
