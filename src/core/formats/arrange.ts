/** How arrays become layers: by their axes, by their names, and by what their numbers look like. */

import { InputError } from "../input-error.ts";
import { counted } from "../words.ts";
import { listNames, quoteName, shapeText, shorten } from "./messages.ts";
import type { Content, LayerParts, Part } from "./recorded-layer.ts";
import { type Axis, axisNames, type Found, type RecordingOptions } from "./recording.ts";
import { rowsOf, type StoredTensor, selected, tensorOf, transposed, valuesOf } from "./stored-tensor.ts";

/** An array with its name in the file. */
export interface NamedTensor {
  readonly name: string;
  readonly tensor: StoredTensor;
}

/** Dimensions of an array that does not name them, by their number, if it holds several layers or none. */
const defaultAxes: Readonly<Record<Arrayed, readonly (readonly Axis[])[]>> = {
  logits: [[], ["tokens", "experts"], ["steps", "tokens", "experts"], ["steps", "layers", "tokens", "experts"]],
  selections: [[], ["tokens", "topK"], ["steps", "tokens", "topK"], ["steps", "layers", "tokens", "topK"]],
  loads: [["experts"], ["steps", "experts"], ["steps", "layers", "experts"]],
};

const columnAxis = { logits: "experts", selections: "topK", loads: "experts" } as const;

/** One array as layers. */
interface Arranged {
  /** By position. */
  readonly layers: readonly (readonly Part[])[];
  readonly hasLayers: boolean;
  readonly hasSteps: boolean;
  readonly columns: number;
}

/**
 * Returns the layers of an array. Throws `InputError` if the axes do not fit it.
 *
 * @param axes its dimensions; by default those that are usual
 * @param step of its first rows
 * @param isLayer whether it is only one layer of several
 */
export function arrange(
  tensor: StoredTensor,
  content: Arrayed,
  axes: readonly Axis[] | undefined,
  { step = 0, isLayer = false, expertOf }: { step?: number; isLayer?: boolean; expertOf?: Int32Array } = {},
): Arranged {
  const { name } = tensor.source;
  const { shape } = tensor;
  const printed = shapeText(shape);
  const named =
    isLayer && axes !== undefined && axes.length === shape.length + 1 ? axes.filter((axis) => axis !== "layers") : axes;
  const chosen = named ?? defaultAxes[content][shape.length - 1];
  if (chosen === undefined || chosen.length === 0) {
    const known = defaultAxes[content].filter((each) => each.length > 0).map((each) => `[${each.join(", ")}]`);
    throw new InputError(
      `${name}: ${printed} has ${counted(shape.length, "dimension")}; expected ${known.join(" or ")}, or name its axes`,
    );
  }
  const last = columnAxis[content];
  const allowed = axisNames.filter((axis) => (axis === "experts" || axis === "topK" ? axis === last : true));
  if (
    chosen.length !== shape.length ||
    new Set(chosen).size !== chosen.length ||
    !chosen.every((axis) => allowed.includes(axis) && !(content === "loads" && axis === "tokens")) ||
    !chosen.includes(last)
  ) {
    throw new InputError(
      `${name}: the axes ${chosen.join(",")} do not fit ${content} ${printed}; name each of its ${counted(shape.length, "dimension")} once: ` +
        `${last}, and of the others ${allowed.filter((axis) => axis !== last && !(content === "loads" && axis === "tokens")).join(", ")}`,
    );
  }
  if (shape.includes(0)) {
    throw new InputError(`${name}: empty stream: the shape ${printed} has no values; every dimension must be ≥ 1`);
  }
  const place = (axis: Axis) => chosen.indexOf(axis);
  const order = [place("steps"), place("tokens"), place(last)].filter((dimension) => dimension >= 0);
  const layersAt = place("layers");
  const count = layersAt < 0 ? 1 : shape[layersAt];
  if (count > maxLayers)
    throw new InputError(`${name}: ${printed} has ${counted(count, "layer")}; the maximum is ${maxLayers}`);
  const hasSteps = place("steps") >= 0;
  const rowsPerStep =
    content === "loads" ? 1 : hasSteps ? Math.max(1, place("tokens") < 0 ? 1 : shape[place("tokens")]) : null;
  const layers = Array.from({ length: count }, (_, layer) => {
    // Dimensions keep their places until the layer has gone.
    const kept = layersAt < 0 ? tensor : selected(tensor, layersAt, layer);
    const rows = rowsOf(
      transposed(
        kept,
        order.map((dimension) => (layersAt >= 0 && dimension > layersAt ? dimension - 1 : dimension)),
      ),
    );
    return [
      { rows, step, rowsPerStep: rowsPerStep ?? Math.max(1, rows.rows), ...(expertOf !== undefined && { expertOf }) },
    ];
  });
  return { layers, hasLayers: layersAt >= 0, hasSteps, columns: shape[place(last)] };
}

/** Maximum number of layers: more are a mistaken axis. */
const maxLayers = 4096;

/** Adds the parts of `more` to those of `layers`, by position. */
export function addParts(layers: Map<number, Part[]>, more: readonly (readonly Part[])[]): void {
  more.forEach((parts, id) => {
    const own = layers.get(id) ?? [];
    own.push(...parts);
    layers.set(id, own);
  });
}

/** Returns the layers of a map. */
export function layersOf(parts: ReadonlyMap<number, readonly Part[]>): LayerParts[] {
  return Array.from(parts, ([id, each]) => ({ id, parts: each }));
}

/** Layer in a name, and the name with `*` in its place: `model.layers.3.gate`, `L3_idx`, `blk.3.ffn`, `3`. */
function layerInName(name: string): { layer: number | null; stem: string } {
  const match =
    /^()(\d+)()$/.exec(name) ?? /^(.*?(?:^|[^a-z])(?:layers?|blocks?|blk|l|h)[._\- ]?)(\d+)(?!\d)(.*)$/i.exec(name);
  if (match === null) return { layer: null, stem: name };
  return { layer: Number(match[2]), stem: `${match[1]}*${match[3]}` };
}

const hints: readonly (readonly [Content | "weights", RegExp])[] = [
  [
    "selections",
    /top_?k_?(id|idx|ind|expert)|expert_?(id|idx|ind)|indices|idx|ids$|selected|selection|routed_?expert|choice|assign/i,
  ],
  ["loads", /count|load|tpe|per_expert|freq|histogram|usage|popularity/i],
  ["weights", /weight|prob|score|gates$|gate_?val|affinit/i],
  ["logits", /logit|router|gate/i],
];

/** Returns what a name says that an array holds; null if it says nothing. */
function hintOf(name: string): Content | "weights" | null {
  return hints.find(([, pattern]) => pattern.test(name))?.[0] ?? null;
}

/** Rows that are looked at to tell choices from loads. */
export const rowsLookedAt = 256;
/** Maximum experts per token. More integers in a row are the loads of experts. */
const maxTopK = 64;

/** An array to find out about. */
export interface Unknown {
  readonly file: string;
  readonly name: string;
  readonly dtype: string;
  /** `number` for text, whose numbers have no type. */
  readonly kind: "float" | "integer" | "number";
  readonly shape: readonly number[];
  /** Whether a header numbers its columns from 0, as experts are numbered, beside steps, layers or an index of rows. */
  readonly expertsInHeader?: boolean | undefined;
  /** Whether columns of ids, such as layers and positions, stand beside it: then it is no array of logits. */
  readonly isByIds?: boolean | undefined;
  /** Returns some rows of it, in one array. */
  first(): Promise<Float64Array>;
}

type Arrayed = Exclude<Content, "balancedness">;

/**
 * Returns what an array holds: as the options say, or its name, or its numbers. Integers are loads if a row has one twice
 * (rows of zeros, from layers without experts, aside), if they exceed the experts of any model, or if their sums are equal and
 * they are too large for ids; else they are choices if all ids up to the largest fit into the array. Whole floats are loads;
 * other floats are logits. Text of whole numbers beside columns of ids is no
 * logits unless `input` is set. Throws `InputError` if the options contradict the type, or if integers can be either.
 */
export async function contentOf(array: Unknown, options: RecordingOptions): Promise<Arrayed> {
  const { file, name, dtype, kind, shape } = array;
  const described = `${file}: ${dtype} ${shapeText(shape)}`;
  const { as } = options;
  if (as === "balancedness") throw new InputError(`${described}: an array is no log of balancedness`);
  if (as === "logits") {
    // The cells of a text have no type, but no gate has whole logits alone.
    const first = array.isByIds && kind === "number" && options.input === undefined ? await array.first() : [];
    const isWhole = first.length > 0 && first.every(Number.isInteger);
    if (kind === "integer" || isWhole) {
      throw new InputError(
        `${described} holds recorded choices or loads, not logits, and cannot be routed again; use \`moesim measure\` for them. ` +
          (isWhole
            ? "If whole numbers are its logits, set input to logits (--input logits on the command line)"
            : "Logits are floats"),
      );
    }
  }
  if (as === "logits" || as === "loads") return as;
  if (as === undefined && options.axes?.includes("topK")) {
    if (kind !== "float") return "selections";
    throw new InputError(`${described}: the axis topK is one of selections, which are integers`);
  }
  if (as === undefined && options.axes?.includes("experts")) {
    if (!options.axes.includes("tokens")) {
      if (kind === "integer") return "loads";
    } else if (kind !== "integer") return "logits";
  }
  if (as === undefined) {
    const hint = hintOf(name);
    if (hint === "loads" || (hint === "selections" && kind !== "float")) return hint;
    if (hint === "logits" && kind === "float") return hint;
  }
  if (as === "selections") {
    if (kind !== "float") return as;
    throw new InputError(`${described}: selections [tokens, topK] are integers; floats are logits, to be routed`);
  }
  if (shape.length === 0 || shape.includes(0)) return kind === "integer" ? "loads" : "logits";
  const rows = await array.first();
  const isWhole = rows.every(Number.isInteger);
  if (!isWhole) return "logits";
  if (kind === "float")
    return rows.some((value) => value > 0) && rows.every((value) => value >= 0) ? "loads" : "logits";
  const choices = areChoices(rows, shape, options, array.expertsInHeader ?? false);
  if (choices === null) {
    throw new InputError(
      `${described}: these whole numbers can be the loads of ${shape[shape.length - 1]} experts or the experts chosen by each ` +
        "token; say which with --as loads or --as selections",
    );
  }
  return choices ? "selections" : "loads";
}

/** Most experts that a published model chooses several of per token from: the 2,048 of GShard. */
const mostKnownExperts = 2048;

/**
 * Whether rows of whole numbers are the chosen experts of a token each, rather than loads; null if they could be either.
 */
function areChoices(
  rows: Float64Array,
  shape: readonly number[],
  { experts }: RecordingOptions,
  expertsInHeader: boolean,
): boolean | null {
  const columns = shape[shape.length - 1];
  if (shape.length === 4) return true;
  if (columns > maxTopK || shape.length === 1 || columns === experts) return false;
  const sums = new Set<number>();
  const sets = new Set<string>();
  let largest = 0;
  for (let row = 0; row < rows.length; row += columns) {
    const values = rows.subarray(row, row + columns);
    if (values.includes(-1)) return true;
    if (values.some((value) => value < 0 || value >= 65_536)) return false;
    if (values.every((value) => value === 0)) continue;
    if (new Set(values).size < columns) return false;
    largest = values.reduce((most, value) => Math.max(most, value), largest);
    sums.add(values.reduce((sum, value) => sum + value, 0));
    sets.add(Float64Array.from(values).sort().join());
  }
  // Without a load above 0, several slots of 0 would be one expert chosen twice.
  if (sets.size === 0 && columns > 1) return false;
  // Loads have a column for each expert.
  if (columns === 1 || (experts !== undefined && columns < experts)) return true;
  if (largest >= mostKnownExperts) return false;
  // Steps and layers of as many tokens have loads of equal sums, but it can be chance if the ids are few.
  const haveEqualSums = rows.length > columns && sums.size === 1 && (sets.size > 1 || expertsInHeader);
  const isFilled = largest < shape.reduce((product, size) => product * size, 1);
  if (haveEqualSums && (!isFilled || expertsInHeader)) return false;
  if (isFilled && !haveEqualSums) return true;
  return expertsInHeader ? false : null;
}

function unknownTensor(name: string, tensor: StoredTensor): Unknown {
  const { element, source, shape } = tensor;
  const kind = element.kind === "float" ? "float" : "integer";
  return { file: source.name, name, dtype: element.name, kind, shape, first: () => firstRowsOf(tensor) };
}

/** Returns some rows of a tensor from its middle, in the order in which they are stored. */
async function firstRowsOf(tensor: StoredTensor): Promise<Float64Array> {
  let part = tensor;
  while (part.shape.length > 2) part = selected(part, 0, Math.floor(part.shape[0] / 2));
  const rows = rowsOf(part);
  const count = Math.min(rowsLookedAt, rows.rows);
  const values = new Float64Array(count * rows.columns);
  await rows.read(values, 0, 0, count);
  return values;
}

/**
 * Returns what arrays with names hold together: one array, one of each layer, or one of each sample
 * `[tokens, layers, topK]`. Throws `InputError` if there are several ways to choose, listing the names.
 *
 * @param what the kind of file, for the description
 */
export async function foundInTensors(
  what: string,
  file: string,
  tensors: readonly NamedTensor[],
  options: RecordingOptions,
): Promise<Found> {
  if (tensors.length === 0) throw new InputError(`${file}: empty stream: the file has no tensors`);
  const { chosen, leftOut } = chooseTensors(file, tensors, options);
  const notes = leftOut.length === 0 ? [] : [`Left out of the file: ${listNames(leftOut.map(quoteName))}.`];
  const [first] = chosen;
  if (chosen.length === 1 && layerInName(first.name).layer === null) {
    const content = await contentOf(unknownTensor(first.name, first.tensor), options);
    const arranged = arrange(first.tensor, content, options.axes);
    const layers = arranged.layers.map((parts, id) => ({ id, parts }));
    return foundOf(what, content, layers, arranged, notes);
  }
  if (chosen.some(({ name }) => layerInName(name).layer === null))
    return foundInSamples(what, file, chosen, options, notes);
  const filled = chosen.find(({ tensor }) => !tensor.shape.includes(0));
  if (filled === undefined) throw new InputError(`${file}: empty stream: the tensor of every layer has no rows`);
  const content = await contentOf(unknownTensor(filled.name, filled.tensor), options);
  const layers: LayerParts[] = [];
  let arranged: Arranged | null = null;
  for (const { name, tensor } of chosen) {
    if (tensor.shape.includes(0)) {
      // A layer without a row is absent.
      layers.push({ id: layerInName(name).layer!, parts: [] });
      continue;
    }
    const own = arrange(tensor, content, options.axes, { isLayer: true });
    if (own.hasLayers) throw new InputError(`${file}: ${quoteName(name)} is one layer, but its axes have layers`);
    if (arranged !== null && (arranged.hasSteps !== own.hasSteps || arranged.columns !== own.columns)) {
      throw new InputError(
        `${file}: ${quoteName(first.name)} ${shapeText(first.tensor.shape)} and ${quoteName(name)} ${shapeText(tensor.shape)} ` +
          "cannot both be layers of one model; select one with --tensor",
      );
    }
    arranged = own;
    layers.push({ id: layerInName(name).layer!, parts: own.layers[0] });
  }
  return foundOf(what, content, layers, { ...arranged!, hasLayers: true }, notes);
}

function foundOf(
  what: string,
  content: Content,
  layers: readonly LayerParts[],
  { hasLayers, hasSteps, columns }: Pick<Arranged, "hasLayers" | "hasSteps" | "columns">,
  notes: readonly string[],
): Found {
  const [experts, topK] = content === "selections" ? [null, columns] : [columns, null];
  return { what, content, layers, hasLayers, hasSteps: hasSteps || content === "loads", experts, topK, notes };
}

/** Several arrays `[tokens, layers, topK]`, one per sample. */
function foundInSamples(
  what: string,
  file: string,
  tensors: readonly NamedTensor[],
  options: RecordingOptions,
  notes: readonly string[],
): Found {
  const layers = new Map<number, Part[]>();
  let columns = 0;
  for (const { tensor } of tensors) {
    const arranged = arrange(tensor, "selections", options.axes ?? ["tokens", "layers", "topK"]);
    if (columns !== 0 && (arranged.columns !== columns || arranged.layers.length !== layers.size)) {
      throw new InputError(`${file}: samples differ in their layers or experts per token: ${shapeText(tensor.shape)}`);
    }
    columns = arranged.columns;
    addParts(layers, arranged.layers);
  }
  const sizes = { hasLayers: true, hasSteps: false, columns };
  return foundOf(`${what} of ${tensors.length} samples`, "selections", layersOf(layers), sizes, notes);
}

/** Returns the name of a file without folder and ending. */
export function stemOf(name: string): string {
  return (name.split(/[/\\]/).at(-1) ?? name).replace(/\.[^.]*$/, "");
}

/** One array of each of several files: a layer each if their names say so, else one after another in time. */
export async function foundInArrays(
  what: string,
  arrays: readonly { readonly file: string; readonly tensor: StoredTensor }[],
  options: RecordingOptions,
): Promise<Found> {
  const [{ file }] = arrays;
  const named = arrays.map(({ file: each, tensor }) => ({ name: stemOf(each), tensor }));
  if (
    arrays.length === 1 ||
    areSamples(named) ||
    options.tensor !== undefined ||
    named.some(({ name }) => layerInName(name).layer !== null)
  ) {
    const description = arrays.length === 1 ? what : `${arrays.length} ${what}s`;
    return foundInTensors(description, file, arrays.length === 1 ? [{ ...named[0], name: "" }] : named, options);
  }
  return foundInTime(
    arrays.map(({ file: each }) => each),
    (index) => foundInTensors(what, arrays[index].file, [{ ...named[index], name: "" }], options),
  );
}

/**
 * Opens each file by itself and joins them, one after another in time: their steps follow each other or, without steps, their
 * tokens. Throws `InputError` if their names differ in more than numbers, as those of different recordings do, or if they
 * differ in layers, experts or kind.
 */
export async function foundInTime(
  files: readonly string[],
  open: (index: number) => Promise<Found> | Found,
): Promise<Found> {
  if (files.length === 1) return open(0);
  const families = new Set(files.map((file) => stemOf(file).replace(/\d+/g, "#")));
  if (families.size > 1) {
    throw new InputError(
      `${files[0]} and ${files.length - 1} more: these are several recordings, not parts of one; name one of them. The names of ` +
        "parts differ in numbers only",
    );
  }
  const found: Found[] = [];
  for (const index of files.keys()) found.push(await open(index));
  return joinedInTime(files, found);
}

/** Joins what several files hold, one after another in time. Throws `InputError` if they do not fit. */
export function joinedInTime(files: readonly string[], found: readonly Found[]): Found {
  const [first] = found;
  if (found.length === 1) return first;
  const idsOf = ({ layers }: Found) => layers.map(({ id }) => id).join();
  const odd = found.findIndex(
    (each) =>
      each.content !== first.content ||
      each.hasSteps !== first.hasSteps ||
      each.hasLayers !== first.hasLayers ||
      each.experts !== first.experts ||
      each.topK !== first.topK ||
      idsOf(each) !== idsOf(first),
  );
  if (odd >= 0) {
    throw new InputError(
      `${files[odd]}: it differs from ${files[0]} in its layers, steps, experts or kind, so they are no parts of one recording; ` +
        "name one of them",
    );
  }
  const layers = new Map<number, Part[]>(first.layers.map(({ id }) => [id, []]));
  let done = 0;
  for (const { layers: own } of found) {
    let steps = 0;
    for (const { id, parts } of own) {
      for (const part of parts) {
        layers.get(id)!.push({ ...part, step: part.step + done });
        steps = Math.max(steps, part.step + Math.ceil(part.rows.rows / part.rowsPerStep));
      }
    }
    if (first.hasSteps) done += steps;
  }
  const order = `${counted(found.length, "file")}, one after another in time: ${listNames(files.map(shorten))}.`;
  return {
    ...first,
    what: `${counted(found.length, "file")}: ${first.what}`,
    layers: layersOf(layers),
    notes: [order, ...new Set(found.flatMap(({ notes }) => notes))],
  };
}

/** Arrays whose names differ in the layer only. */
interface Group {
  readonly stem: string;
  readonly tensors: readonly NamedTensor[];
  readonly hasLayers: boolean;
}

/** Whether arrays are choices `[tokens, layers, topK]` of a sample each. */
function areSamples(tensors: readonly NamedTensor[]): boolean {
  const [, layers, topK] = tensors[0].tensor.shape;
  return tensors.every(
    ({ tensor: { shape, element } }) =>
      shape.length === 3 && element.kind === "integer" && shape[1] === layers && shape[2] === topK,
  );
}

function groupsOf(tensors: readonly NamedTensor[]): Group[] {
  const groups = new Map<string, NamedTensor[]>();
  for (const each of tensors) {
    const { stem } = layerInName(each.name);
    const group = groups.get(stem) ?? [];
    group.push(each);
    groups.set(stem, group);
  }
  return Array.from(groups, ([stem, own]) => ({
    stem,
    tensors: own,
    // One name with a number is a name.
    hasLayers: own.length > 1 && layerInName(own[0].name).layer !== null,
  }));
}

function chooseTensors(
  file: string,
  tensors: readonly NamedTensor[],
  options: RecordingOptions,
): { chosen: readonly NamedTensor[]; leftOut: readonly string[] } {
  const names = tensors.map(({ name }) => name);
  const list = listNames(names.map(quoteName));
  if (options.tensor !== undefined) {
    const wanted = options.tensor;
    const chosen = tensors.filter(({ name }) => name === wanted || layerInName(name).stem === wanted);
    if (chosen.length === 0) throw new InputError(`${file}: no tensor ${quoteName(wanted)}; the file has ${list}`);
    return { chosen, leftOut: [] };
  }
  if (tensors.length === 1) return { chosen: tensors, leftOut: [] };
  // Masks, ids of documents and numbers of slots are no routes.
  let groups = groupsOf(tensors).filter((group) => group.tensors.some(({ tensor }) => valuesOf(tensor.shape) > 1));
  if (groups.every(({ hasLayers }) => !hasLayers) && areSamples(tensors)) return { chosen: tensors, leftOut: [] };
  const prefer = (condition: (group: Group) => boolean) => {
    const preferred = groups.filter(condition);
    if (preferred.length > 0) groups = preferred;
  };
  prefer(({ hasLayers }) => hasLayers);
  const { as } = options;
  if (as !== undefined) prefer(({ stem }) => hintOf(stem) === as);
  prefer(({ stem }) => hintOf(stem) !== "weights");
  if (groups.length > 1 && as !== "logits") {
    // Ids beside their weights.
    prefer(({ tensors: [{ tensor }] }) => tensor.element.kind === "integer" && tensor.shape.length > 1);
    if (groups.length > 1) prefer(({ stem }) => hintOf(stem) === "selections");
  } else if (groups.length > 1) {
    prefer(({ tensors: [{ tensor }] }) => tensor.element.kind === "float");
  }
  if (groups.length !== 1) {
    throw new InputError(`${file}: the file has ${names.length} tensors; select one with "tensor": ${list}`);
  }
  const [{ tensors: chosen }] = groups;
  const taken = new Set(chosen.map(({ name }) => name));
  return { chosen, leftOut: names.filter((name) => !taken.has(name)) };
}

/** Maximum dimensions of nested lists. */
const maxDimensions = 4;

/**
 * Returns nested lists of numbers, each of the same length, as a tensor in memory, of integers if all are; null if they are anything else.
 *
 * @param name of the file
 */
export function denseTensor(value: unknown, name: string): StoredTensor | null {
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
    if (shape.length > maxDimensions || level.length === 0) return null;
  }
  if (shape.length === 0) return null;
  const size = valuesOf(shape);
  if (!(size <= maxDenseValues)) return null;
  const values = new Float64Array(size);
  let at = 0;
  const fill = (level: unknown, depth: number): boolean => {
    if (depth === shape.length) {
      if (typeof level !== "number" && typeof level !== "bigint") return false;
      values[at++] = Number(level);
      return true;
    }
    return Array.isArray(level) && level.length === shape[depth] && level.every((each) => fill(each, depth + 1));
  };
  if (!fill(value, 0)) return null;
  const isInteger = values.every((each) => Number.isInteger(each) && Math.abs(each) < 2 ** 31);
  return tensorOf(isInteger ? Int32Array.from(values) : values, shape, name);
}

/** Maximum numbers of nested lists: 1 GiB. */
const maxDenseValues = 2 ** 27;
