import { InputError } from "../input-error.ts";
import { closeOnError, type Source } from "../source.ts";
import { listedFirst, rangesText } from "../words.ts";
import { openTensor } from "./open-tensor.ts";
import type { NamedTensor } from "./safetensors.ts";
import { quoteName, shapeText, type TensorOptions, type TensorReader } from "./tensor-reader.ts";

/** What a dimension of recorded logits counts. */
export const logitAxes = ["steps", "layers", "tokens", "experts"] as const;
export type LogitAxis = (typeof logitAxes)[number];

/** Axes of a file that does not name its own, by number of dimensions. */
const defaultAxes: Readonly<Record<number, readonly LogitAxis[]>> = {
  2: ["tokens", "experts"],
  3: ["steps", "tokens", "experts"],
  4: ["steps", "layers", "tokens", "experts"],
};

export interface LogitsOptions extends TensorOptions {
  /** In the order of the tensor's dimensions; default: by their number. */
  readonly axes?: readonly LogitAxis[] | undefined;
}

/** Recorded logits, one layer at a time; memory does not grow with the file. */
export interface RecordedLogits {
  readonly file: string;
  /** Type and dimensions for messages. */
  readonly description: string;
  /** The model's ids of the layers with logits, rising; null if the file has no layers. */
  readonly layers: readonly number[] | null;
  /** The ids of layers without a row, such as dense ones. */
  readonly absentLayers: readonly number[];
  /** Null if the file has no steps: its tokens must be cut into batches. */
  readonly steps: number | null;
  /** Tokens of each step of a layer; without steps, all of a layer's tokens. */
  readonly tokens: number;
  readonly experts: number;
  /**
   * Opens the logits of `layer`, one of {@link layers}, or of a file without layers; null stands for its only layer. Its
   * rows are tokens, step after step. Throws `InputError` if the file is malformed.
   */
  open(layer: number | null): Promise<LogitRows>;
  close(): Promise<void>;
}

/** The rows of one layer, from front to back. */
export interface LogitRows {
  /** As {@link TensorReader.read}. */
  read(into: Float32Array, count: number): Promise<number>;
}

/**
 * Opens recorded logits: one tensor, with or without a dimension for layers, or a `.safetensors` file with a tensor per
 * layer, whose names differ in one number, the layer's id: `layers.3.logits`, `layers.4.logits`. With `tensor`, in which
 * `*` stands for that number, the file may hold others besides. Owns `source` from then on. Throws `InputError` if the
 * file holds integers, if the axes do not fit its dimensions, or if its layers differ in shape.
 */
export async function openRecordedLogits(source: Source, options: LogitsOptions = {}): Promise<RecordedLogits> {
  return closeOnError(source, async () => {
    const perLayer = await tensorsPerLayer(source, options);
    return perLayer === null ? openOne(source, options) : openPerLayer(source, perLayer, options);
  });
}

/** Sizes of a tensor, and the distance in rows between neighbours along each axis. */
interface Layout {
  readonly sizes: Readonly<Partial<Record<LogitAxis, number>>>;
  readonly strides: Readonly<Partial<Record<LogitAxis, number>>>;
}

async function openOne(source: Source, options: LogitsOptions): Promise<RecordedLogits> {
  const reader = await openTensor(source, options);
  checkLogits(reader);
  const { file, dtype, shape } = reader;
  const layout = layoutOf(file, shape, options.axes);
  const { steps = null, layers: count, tokens = 1, experts = 1 } = layout.sizes;
  const layers = count === undefined ? null : Array.from({ length: count }, (_, layer) => layer);
  return {
    file,
    description: `${dtype} ${shapeText(shape)}`,
    layers,
    absentLayers: [],
    steps,
    tokens,
    experts,
    open: async (layer) => rowsOf(reader, layout, layer ?? 0),
    close: () => reader.close(),
  };
}

/** A tensor of each layer. */
interface LayerTensor extends NamedTensor {
  readonly layer: number;
}

async function openPerLayer(
  source: Source,
  tensors: readonly LayerTensor[],
  { axes }: LogitsOptions,
): Promise<RecordedLogits> {
  const present = tensors.filter(({ shape }) => !shape.includes(0));
  if (present.length === 0) throw new InputError(`${source.name}: empty stream: the tensor of every layer has no rows`);
  const [first] = present;
  const other = present.find(({ shape }) => String(shape) !== String(first.shape));
  if (other !== undefined) {
    throw new InputError(
      `${source.name}: the tensors of the layers differ in shape: ${quoteName(first.name)} is ${shapeText(first.shape)}, ` +
        `${quoteName(other.name)} is ${shapeText(other.shape)}`,
    );
  }
  // Opened once for its checks; each layer is opened again by its own name.
  const sample = await openTensor(source, { tensor: first.name });
  checkLogits(sample);
  const layout = layoutOf(
    source.name,
    first.shape,
    axes?.filter((axis) => axis !== "layers"),
  );
  if (layout.sizes.layers !== undefined) {
    throw new InputError(`${source.name}: the file has a tensor for each layer; each of them has layers again`);
  }
  const { steps = null, tokens = 1, experts = 1 } = layout.sizes;
  return {
    file: source.name,
    description: `${sample.dtype} ${shapeText(first.shape)} in each of ${present.length} layers`,
    layers: present.map(({ layer }) => layer),
    absentLayers: tensors.filter((tensor) => !present.includes(tensor)).map(({ layer }) => layer),
    steps,
    tokens,
    experts,
    async open(layer) {
      const { name } = present.find((tensor) => tensor.layer === layer) ?? first;
      const reader = await openTensor(source, { tensor: name });
      checkLogits(reader);
      return rowsOf(reader, layout, 0);
    },
    close: async () => source.close?.(),
  };
}

/** Throws `InputError` if a tensor cannot hold logits. */
function checkLogits({ file, dtype, shape, kind }: TensorReader): void {
  if (kind === "integer") {
    throw new InputError(
      `${file}: ${dtype} ${shapeText(shape)} holds recorded choices or loads, not logits, and cannot be routed again; use ` +
        "`moesim measure` for them. Logits are floats",
    );
  }
}

function layoutOf(file: string, shape: readonly number[], named: readonly LogitAxis[] | undefined): Layout {
  const printed = shapeText(shape);
  if (named === undefined && shape.length === 1) {
    throw new InputError(
      `${file}: the shape ${printed} has 1 dimension; expected [tokens, experts], [steps, tokens, experts] or ` +
        "[steps, layers, tokens, experts]",
    );
  }
  const axes = named ?? defaultAxes[shape.length];
  if (axes.length !== shape.length) {
    throw new InputError(
      `${file}: ${printed} has ${shape.length} dimensions, but axes names ${axes.length}: ${axes.join(", ")}`,
    );
  }
  if (axes.at(-1) !== "experts" || !axes.includes("tokens")) {
    throw new InputError(
      `${file}: axes: ${axes.join(", ")} are not those of logits; they include tokens and end with experts`,
    );
  }
  let stride = 1;
  const strides: Partial<Record<LogitAxis, number>> = {};
  for (let position = axes.length - 2; position >= 0; position--) {
    strides[axes[position]] = stride;
    stride *= shape[position];
  }
  return { sizes: Object.fromEntries(axes.map((axis, position) => [axis, shape[position]])), strides };
}

/** Reads the rows at `position` along the axis of layers. */
function rowsOf(reader: TensorReader, { sizes, strides }: Layout, position: number): LogitRows {
  const { steps = 1, layers = 1, tokens = 1 } = sizes;
  // A file in the order of reading, which formats without `seek` always are.
  if (layers === 1 && (steps === 1 || strides.steps === tokens)) return reader;
  const { steps: stepStride = 0, layers: layerStride = 0, tokens: tokenStride = 1 } = strides;
  const first = position * layerStride;
  let row = 0;
  return {
    async read(into, count) {
      const rows = Math.min(count, steps * tokens - row);
      for (let done = 0; done < rows; ) {
        const [step, token] = [Math.floor(row / tokens), row % tokens];
        const together = tokenStride === 1 ? Math.min(rows - done, tokens - token) : 1;
        reader.seek!(first + step * stepStride + token * tokenStride);
        const read = await reader.read(into.subarray(done * reader.columns), together);
        if (read < together) throw new InputError(`${reader.file}: truncated: it ends before step ${step}`);
        done += together;
        row += together;
      }
      return rows;
    },
  };
}

/**
 * Returns the tensors of a `.safetensors` file whose names differ in one number, the layer's id, in its order; null if
 * the file or the options ask for a single tensor.
 */
async function tensorsPerLayer(source: Source, { tensor }: LogitsOptions): Promise<LayerTensor[] | null> {
  if (!source.name.toLowerCase().endsWith(".safetensors") || (tensor !== undefined && !tensor.includes("*")))
    return null;
  // Loaded on first use, as every format is.
  const tensors = await (await import("./safetensors.ts")).listSafetensors(source);
  const pattern = tensor ?? commonPattern(tensors.map(({ name }) => name));
  if (pattern === null) return null;
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const numbered = new RegExp(`^${parts.join("(\\d+)")}$`);
  if (parts.length !== 2) {
    throw new InputError(`${source.name}: tensor ${quoteName(pattern)}: one * stands for the layer's id`);
  }
  const layers = tensors.flatMap((each): LayerTensor[] => {
    const id = numbered.exec(each.name)?.[1];
    return id === undefined ? [] : [{ ...each, layer: Number(id) }];
  });
  if (layers.length === 0) {
    const names = listedFirst(tensors.map(({ name }) => quoteName(name)));
    throw new InputError(`${source.name}: no tensor is named ${quoteName(pattern)}; the file has ${names}`);
  }
  const twice = layers.find(({ layer }, index) => layers.findIndex((each) => each.layer === layer) < index);
  if (twice !== undefined) throw new InputError(`${source.name}: two tensors are of layer ${twice.layer}`);
  return layers.toSorted((a, b) => a.layer - b.layer);
}

/** Returns the names' pattern, `*` for the number in which they differ; null if there is none, or only one name. */
function commonPattern(names: readonly string[]): string | null {
  if (names.length < 2) return null;
  const numbers = names.map((name) => name.match(/\d+/g) ?? []);
  const differing = numbers[0].findIndex((number, at) => numbers.some((each) => each[at] !== number));
  if (differing < 0) return null;
  const patterns = names.map((name) => {
    let at = -1;
    return name.replace(/\d+/g, (number) => {
      at += 1;
      return at === differing ? "*" : number;
    });
  });
  return patterns.every((pattern) => pattern === patterns[0]) ? patterns[0] : null;
}

/** Layers that a scenario or an option selects: ids, and ranges of ids such as `10-20`, both ends included. */
export type LayerSelection = readonly (number | string)[];

/**
 * Returns those of `layers` that `selection` names, rising; all if it names none. Throws `InputError` if one is not among
 * `layers` and `absent`.
 */
export function selectLayers(
  { file, layers, absentLayers }: Pick<RecordedLogits, "file" | "layers" | "absentLayers">,
  selection: LayerSelection | undefined,
): { layers: readonly number[]; absentLayers: readonly number[] } | null {
  if (layers === null) {
    if (selection === undefined) return null;
    throw new InputError(
      `${file}: layers: the file has no layers; name its axes (axes: [layers, tokens, experts]), or leave layers out`,
    );
  }
  if (selection === undefined) return { layers, absentLayers };
  const known = [...layers, ...absentLayers].sort((a, b) => a - b);
  const wanted = new Set<number>();
  for (const item of selection) {
    const [first, last = first] = String(item).split("-").map(Number);
    const found = known.filter((layer) => first <= layer && layer <= last);
    if (found.length === 0 || (typeof item === "number" && found[0] !== item)) {
      throw new InputError(`${file}: layers: there is no layer ${item}; the file has ${rangesText(known)}`);
    }
    for (const layer of found) wanted.add(layer);
  }
  const selected = layers.filter((layer) => wanted.has(layer));
  if (selected.length === 0) {
    throw new InputError(
      `${file}: layers: ${rangesText([...wanted])} have no logits; select one of ${rangesText(layers)}`,
    );
  }
  return { layers: selected, absentLayers: absentLayers.filter((layer) => wanted.has(layer)) };
}
