/**
 * Recordings: what a real model's routers computed, from any of the files in which real systems leave it. This is the file to
 * read first. {@link openRecording} finds out by their content what the files are; the modules it calls know one family of
 * formats each, and say where in the bytes each layer's numbers are. They are read when a layer is.
 */
import { InputError } from "../input-error.ts";
import { platform } from "../platform.ts";
import { readBytes, type Source } from "../source.ts";
import { counted, rangesText } from "../words.ts";
import { listNames, quoteName, shorten } from "./messages.ts";
import {
  type Content,
  type InputKind,
  type LayerParts,
  type LayerReader,
  openLayer,
  type RecordedRows,
} from "./recorded-layer.ts";

export {
  type Content,
  contents,
  type InputKind,
  inputKinds,
  type LayerReader,
  type RecordedRows,
} from "./recorded-layer.ts";

/** Names of the dimensions of an array. */
export const axisNames = ["steps", "layers", "tokens", "experts", "topK"] as const;
/** `steps`, `layers`, `tokens`, `experts` or `topK`. */
export type Axis = (typeof axisNames)[number];

/** Layers that a scenario or an option selects: ids, and ranges of ids such as `10-20`, both ends included. */
export type LayerSelection = readonly (number | string)[];

/** Returns the layers of a file that `selection` names, as a set. Throws `InputError` if one is not among `known`, rising. */
export function layersNamed(file: string, known: readonly number[], selection: LayerSelection): Set<number> {
  const named = new Set<number>();
  for (const item of selection) {
    const [first, last = first] = String(item).split("-").map(Number);
    const found = known.filter((layer) => first <= layer && layer <= last);
    if (found.length === 0 || (typeof item === "number" && found[0] !== item)) {
      throw new InputError(`${file}: layers: there is no layer ${item}; the file has ${rangesText(known)}`);
    }
    for (const layer of found) named.add(layer);
  }
  return named;
}

/** How to read a file that does not say it all itself. */
export interface RecordingOptions {
  /** What the file holds. */
  readonly as?: Content | undefined;
  /** Dimensions of its array or arrays; of those by layer, without the layers. */
  readonly axes?: readonly Axis[] | undefined;
  /** Name of the tensor or array, of several. */
  readonly tensor?: string | undefined;
  /** Name of the column, of several. */
  readonly column?: string | undefined;
  readonly input?: InputKind | undefined;
  /** How often each token was counted: by that many ranks of tensor parallelism. Default 1. */
  readonly divide?: number | undefined;
  /** Layers to read. Default all. */
  readonly layers?: LayerSelection | undefined;
  /** Steps to leave out at the beginning. Default 0. */
  readonly skip?: number | undefined;
  /** Experts of the model; where files do not say. */
  readonly experts?: number | undefined;
  /** Experts per token; where files do not say. */
  readonly topK?: number | undefined;
}

/** What files hold, before anything of it is read. */
export interface Found {
  /** What the files are, such as `SGLang expert distribution (stat)`. */
  readonly what: string;
  readonly content: Content;
  readonly layers: readonly LayerParts[];
  /** Whether the files name or count layers. */
  readonly hasLayers: boolean;
  readonly hasSteps: boolean;
  /** Null if the files do not say. */
  readonly experts: number | null;
  readonly topK: number | null;
  /** What a reader should know besides: files and columns left out, how gaps were filled. */
  readonly notes: readonly string[];
  /** What was recorded beside it, such as choices beside logits. */
  readonly beside?: Found | undefined;
}

/** A recording of a model's routers. */
export interface Recording {
  /** The files' name in messages. */
  readonly name: string;
  /** Names of the files that hold it, without those that are left out. */
  readonly files: readonly string[];
  /** What the files are taken for, in one line. */
  readonly description: string;
  readonly holds: Content;
  /** The layers' numbers, ascending. Some may be absent from the model: all their loads are 0. */
  readonly layers: readonly number[];
  /** Whether the files have layers; a single one is then still one of a model. */
  readonly hasLayers: boolean;
  /** Whether the files have steps; else tokens follow each other. */
  readonly hasSteps: boolean;
  /** Null if the files do not say. */
  readonly experts: number | null;
  /** Null for logits and loads, and if the files do not say. */
  readonly topK: number | null;
  /** Whether loads are shares of all pairs instead of counts. */
  readonly hasShares: boolean;
  readonly notes: readonly string[];
  /** Those of the notes that say that the numbers may not be what they are taken for. */
  readonly warnings: readonly string[];
  /** What was recorded beside it; null if nothing was. */
  readonly beside: Recording | null;
  /**
   * Returns a reader of a layer, from its front to its back. Any number can be open at once, in any thread. Throws
   * `InputError` if there is no such layer.
   *
   * @param batchTokens tokens per step, if the files have no steps; default: all
   */
  layer(id: number, batchTokens?: number): LayerReader;
  close(): Promise<void>;
}

/** A family of formats: how its files are known, and how they are read. */
export interface Family {
  /** Files with the same key are parts of one recording. */
  readonly key: string;
  /** What else such files can be: nothing, for what an engine writes; any arrays (1); or any text (2). Default 0. */
  readonly generality?: 1 | 2;
  /** @param beside files that say more about these, such as the logits of a trace */
  readonly open: (files: readonly Source[], options: RecordingOptions, beside: readonly Source[]) => Promise<Found>;
}

/** Bytes that tell what a file is. */
const headBytes = 1 << 16;

/** Finds out what `file` is. Throws `InputError` if it is nothing that can be read, with a sentence on what it is. */
async function familyOf(file: Source): Promise<Family> {
  if (file.byteLength === 0) throw new InputError(`${file.name}: the file is empty`);
  const head = await readBytes(file, 0, Math.min(headBytes, file.byteLength));
  const begins = (text: string) => Array.from(text).every((character, i) => head[i] === character.charCodeAt(0));
  if (begins("\x93NUMPY")) {
    return {
      key: ".npy",
      generality: 1,
      open: async (files, options) => (await import("./tensor-files.ts")).openNpyFiles(files, options),
    };
  }
  if (begins("PK\x03\x04") || begins("PK\x05\x06")) {
    const { archiveFamily } = await import("./tensor-files.ts");
    return archiveFamily(file);
  }
  if (begins("PAR1")) {
    return {
      key: ".parquet",
      generality: 1,
      open: async (files, options) => (await import("./tables.ts")).openParquetTables(files, options),
    };
  }
  if (begins("GGUF")) {
    return { key: "GGUF", open: async (files) => (await import("./gguf.ts")).openGguf(files) };
  }
  const { isPickle } = await import("./pickle.ts");
  if (isPickle(head)) {
    return {
      key: "pickle",
      generality: 1,
      open: async (files, options) => (await import("./tensor-files.ts")).openPickles(files, options),
    };
  }
  const { isSafetensors } = await import("./safetensors.ts");
  if (isSafetensors(head, file.byteLength)) {
    return {
      key: ".safetensors",
      generality: 1,
      open: async (files, options, beside) =>
        (await import("./tensor-files.ts")).openSafetensorsFiles(files, options, beside),
    };
  }
  const { isLegacyImatrix } = await import("./gguf.ts");
  if (isLegacyImatrix(head)) {
    throw new InputError(
      `${file.name}: llama.cpp's old imatrix format, which has no counts of tokens; make it again with a llama-imatrix of 2025 ` +
        "or later, which writes GGUF",
    );
  }
  const { textFamily } = await import("./text-files.ts");
  return textFamily(file, head);
}

/** Returns the files of one recording, and a sentence about those of other kinds. */
async function chooseFiles(
  files: readonly Source[],
): Promise<{ chosen: readonly Source[]; beside: readonly Source[]; family: Family; notes: readonly string[] }> {
  if (files.length === 1) return { chosen: files, beside: [], family: await familyOf(files[0]), notes: [] };
  const groups = new Map<string, { family: Family; files: Source[] }>();
  const unknown: string[] = [];
  for (const file of files) {
    try {
      const family = await familyOf(file);
      const group = groups.get(family.key) ?? { family, files: [] };
      group.files.push(file);
      groups.set(family.key, group);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      unknown.push(file.name);
    }
  }
  const companions = [...groups].filter(([key]) => key.startsWith("beside "));
  for (const [key] of companions) groups.delete(key);
  const beside = companions.flatMap(([, group]) => group.files);
  if (groups.size === 0) {
    throw new InputError(`${listNames(files.map(({ name }) => shorten(name)))}: none of these files is a recording`);
  }
  // An engine's recording is what a folder is for; arrays beside it are router weights and the like, texts are notes.
  const generalityOf = ({ family }: { family: Family }) => family.generality ?? 0;
  const least = Math.min(...Array.from(groups.values(), generalityOf));
  const candidates = Array.from(groups.values()).filter((each) => generalityOf(each) === least);
  const [group] = candidates;
  if (candidates.length > 1) {
    throw new InputError(
      `there are several recordings, of which one can be read at a time: ${[...groups].map(([key, each]) => `${key} (${listNames(each.files.map(({ name }) => shorten(name)))})`).join("; ")}. ` +
        "Name the files of one",
    );
  }
  const others = Array.from(groups.values()).flatMap((each) =>
    each === group ? [] : each.files.map(({ name }) => name),
  );
  const leftOut = [...unknown, ...others];
  const notes = leftOut.length === 0 ? [] : [`Left out, as no parts of it: ${listNames(leftOut.map(shorten))}.`];
  return { chosen: group.files, beside, family: group.family, notes };
}

/** Sources, or paths of files, folders and patterns. */
export type RecordedSources = Source | string | readonly Source[] | readonly string[];

async function sourcesOf(recorded: RecordedSources): Promise<readonly Source[]> {
  const files: Source[] = [];
  try {
    for (const each of typeof recorded === "object" && !("byteLength" in recorded) ? recorded : [recorded]) {
      if (typeof each === "string") files.push(...(await platform().openAll(each)));
      else files.push(each);
    }
    return files;
  } catch (error) {
    await Promise.all(files.map((file) => file.close?.()));
    throw error;
  }
}

/**
 * Opens recorded files, which make one recording together, whatever they are called: sources, which the recording owns from
 * then on, or paths of files, folders or patterns.
 * Throws `InputError` if they are of no kind that can be read, of several, damaged, or contradict the options.
 */
export async function openRecording(recorded: RecordedSources, options: RecordingOptions = {}): Promise<Recording> {
  const files = await sourcesOf(recorded);
  const close = async () => {
    await Promise.all(files.map((file) => file.close?.()));
  };
  try {
    const { chosen, beside, family, notes } = await chooseFiles(files);
    const found = await family.open(chosen, options, beside);
    const names = chosen.map(({ name }) => name);
    return await recordingOf(names, { ...found, notes: [...notes, ...found.notes] }, options, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** Returns the layers that `selection` names, all without one, and a sentence about the others. */
function chooseLayers(
  file: string,
  all: readonly LayerParts[],
  hasLayers: boolean,
  selection: LayerSelection | undefined,
): { layers: readonly LayerParts[]; leftOut: readonly string[] } {
  if (selection === undefined) return { layers: all, leftOut: [] };
  if (!hasLayers) throw new InputError(noLayersText(file));
  const named = layersNamed(
    file,
    all.map(({ id }) => id),
    selection,
  );
  const others = all.filter(({ id }) => !named.has(id)).map(({ id }) => id);
  return {
    layers: all.filter(({ id }) => named.has(id)),
    leftOut: others.length === 0 ? [] : [`Layers not selected, and left out: ${rangesText(others)}.`],
  };
}

/** Says that a file without layers has none to select. */
export function noLayersText(file: string): string {
  return `${file}: layers: the file has no layers; name its axes (axes: [layers, tokens, experts]), or leave layers out`;
}

async function recordingOf(
  files: readonly string[],
  found: Found,
  options: RecordingOptions,
  close: () => Promise<void>,
): Promise<Recording> {
  const name = files.length === 1 ? files[0] : `${files[0]} and ${files.length - 1} more`;
  const { content, hasSteps, hasLayers } = found;
  if (options.as !== undefined && options.as !== content) {
    if (found.beside?.content === options.as) return recordingOf(files, found.beside, options, close);
    const way =
      options.as === "logits" && (content === "loads" || content === "selections")
        ? ", and cannot be routed again; use `moesim measure` for them"
        : "";
    throw new InputError(`${name}: ${found.what} holds ${content}, not ${options.as}${way}`);
  }
  if (options.divide !== undefined && content !== "loads") {
    throw new InputError(`${name}: ${content} are not divided; only loads that several ranks counted are`);
  }
  if (options.input !== undefined && content !== "logits") {
    throw new InputError(`${name}: ${content} are neither logits nor probabilities`);
  }
  const all = [...found.layers].sort((a, b) => a.id - b.id);
  const { layers, leftOut } = chooseLayers(name, all, hasLayers, options.layers);
  const byId = new Map(layers.map((layer) => [layer.id, layer]));
  if (layers.length === 0) throw new InputError(`${name}: ${found.what} without a layer`);
  const experts = content === "balancedness" ? null : (found.experts ?? options.experts ?? null);
  if (options.experts !== undefined && experts !== options.experts && content !== "balancedness") {
    throw new InputError(
      `${name}: the file has ${counted(experts ?? 0, "column")}; expected one for each of ${counted(options.experts, "expert")}`,
    );
  }
  const { skip = 0 } = options;
  const isCut = hasSteps || content === "loads";
  const open = (id: number, batchTokens?: number) => {
    const layer = byId.get(id);
    if (layer === undefined) {
      throw new InputError(
        `${name}: there is no layer ${id}; the layers are ${listNames(layers.map((each) => `${each.id}`))}`,
      );
    }
    if (batchTokens !== undefined && isCut) {
      throw new InputError(`${name}: the file is already in steps; remove batchTokens`);
    }
    return openLayer(layer, {
      content,
      hasSteps,
      experts,
      batchTokens,
      // Files without steps have none to skip until their tokens are cut.
      skip: isCut || batchTokens !== undefined ? skip : 0,
      input: options.input ?? "logits",
      divide: options.divide ?? 1,
    });
  };
  const { hasShares, warnings } = await lookAtNumbers(
    name,
    content,
    layers.map(({ id }) => id),
    open,
    options,
  );
  const sizes = layers.map(({ id }) => open(id));
  const steps = Math.max(...sizes.map((each) => each.steps));
  if (steps === 0)
    throw new InputError(
      `${name}: empty stream: ${found.what} without a step${skip === 0 ? "" : ` after the first ${skip}`}`,
    );
  const tokens = Math.max(...sizes.map((each) => each.tokens ?? 0));
  const beside =
    found.beside === undefined ? null : await recordingOf(files, found.beside, { ...options, as: undefined }, close);
  const size = [
    ...(hasSteps || content === "loads" || content === "balancedness" ? [counted(steps, "step")] : []),
    ...(hasLayers ? [counted(layers.length, "layer")] : []),
    ...(content === "logits" || content === "selections" ? [counted(tokens, "token")] : []),
    ...(content === "selections" ? [`top-${found.topK ?? sizes[0].columns}`] : []),
    ...(experts === null ? [] : [counted(experts, "expert")]),
  ];
  return {
    name,
    files,
    description: `${found.what}: ${hasShares ? "loads as shares" : content}, ${size.join(" × ")}`,
    holds: content,
    layers: layers.map(({ id }) => id),
    hasLayers,
    hasSteps,
    experts,
    topK: content === "selections" ? (found.topK ?? sizes[0].columns) : null,
    hasShares,
    notes: [...found.notes, ...leftOut, ...warnings],
    warnings,
    beside,
    layer(id, batchTokens) {
      if (skip > 0 && !isCut && batchTokens === undefined) {
        throw new InputError(
          `${name}: there are no steps to skip; say how many tokens make one with batchTokens (--batch-tokens)`,
        );
      }
      return open(id, batchTokens);
    },
    close,
  };
}

/** Rows whose numbers are looked at, and by how much their sum may differ from 1: bfloat16 has three digits. */
const [rowsLookedAt, sumTolerance] = [256, 0.02];

/**
 * Looks at the first rows that hold something: are loads counts or shares, and are logits probabilities? Throws `InputError`
 * for loads that are neither.
 */
async function lookAtNumbers(
  name: string,
  content: Content,
  layers: readonly number[],
  open: (id: number) => LayerReader,
  options: RecordingOptions,
): Promise<{ hasShares: boolean; warnings: readonly string[] }> {
  const nothing = { hasShares: false, warnings: [] };
  if (content !== "loads" && content !== "logits") return nothing;
  for (const id of layers) {
    const piece = await firstRows(open(id), content);
    if (piece === null) continue;
    const { reader, rows, values } = piece;
    const { columns } = reader;
    if (content === "logits") {
      return {
        hasShares: false,
        warnings: options.input === undefined ? logitWarnings(values, rows, columns) : [],
      };
    }
    const row = values.subarray(0, columns);
    if (row.every(Number.isInteger)) return nothing;
    let sum = 0;
    for (const value of row) sum += value;
    if (Math.abs(sum - 1) <= sumTolerance && row.every((value) => value >= 0)) {
      const warnings = [
        "These loads are shares of all pairs (their sum is 1), not counts: how many pairs there were is not known.",
      ];
      return { hasShares: true, warnings };
    }
    const at = row.findIndex((value) => !Number.isInteger(value));
    throw new InputError(
      `${name}: layer ${id}, expert ${at}: ${row[at]} is not a load; expected whole numbers ≥ 0, or shares whose sum is 1; other floats are logits`,
    );
  }
  return nothing;
}

async function firstRows(
  reader: LayerReader,
  content: Content,
): Promise<{ reader: LayerReader; rows: number; values: RecordedRows["values"] } | null> {
  // A ring buffer that is not full ends with steps of zeros, and a dense layer has nothing else.
  for (let looked = 0; looked < rowsLookedAt; looked++) {
    const piece = await reader.next();
    if (piece === null) return null;
    const { rows, values } = piece;
    if (content === "loads" && values.subarray(0, reader.columns).every((value) => value === 0)) continue;
    return { reader, rows: Math.min(rows, rowsLookedAt), values };
  }
  return null;
}

/** Says if numbers that are taken for logits look like something else. */
function logitWarnings(values: RecordedRows["values"], rows: number, columns: number): string[] {
  const warnings = probabilityWarning(values, rows, columns);
  const first = values.subarray(0, rows * columns);
  if (warnings.length > 0 || !first.every((value) => Number.isInteger(value) && value >= 0)) return warnings;
  // A few whole logits are an example's; choices and loads of a model are larger.
  if (first.every((value) => value < 8)) return warnings;
  return [
    "Every value is a whole number. Choices and loads cannot be routed again: use `moesim measure` for them. If these are logits, " +
      "set input to logits (--input logits on the command line).",
  ];
}

function probabilityWarning(values: RecordedRows["values"], rows: number, columns: number): string[] {
  let [probabilities, logarithms] = [true, true];
  for (let row = 0; row < rows; row++) {
    const entries = values.subarray(row * columns, (row + 1) * columns);
    let [sum, exponentials] = [0, 0];
    for (const value of entries) {
      sum += value;
      exponentials += Math.exp(value);
      probabilities &&= value >= 0;
      logarithms &&= value <= 0;
    }
    probabilities &&= Math.abs(sum - 1) <= sumTolerance;
    logarithms &&= Math.abs(exponentials - 1) <= sumTolerance;
  }
  if (columns < 2 || rows === 0 || !(probabilities || logarithms)) return [];
  const kind = probabilities ? "probabilities" : "log-probabilities";
  return [
    `Every row looks like ${kind}, not logits: ${probabilities ? "its sum" : "the sum of its exponentials"} is 1. ` +
      `Plain top-k chooses the same experts, but all else is computed of logits: set input to ${kind} (--input ${kind} on the command line).`,
  ];
}

/** Returns the sentence for options that a format does not have. */
export function refuseOption(name: string, option: "tensor" | "column", value: string | undefined, what: string): void {
  if (value === undefined) return;
  throw new InputError(`${name}: there is no ${option} ${quoteName(value)}: ${what} has none`);
}
