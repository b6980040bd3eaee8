/** What engines and tools save as dictionaries and lists, in pickles and in JSON alike. */
import { InputError } from "../input-error.ts";
import {
  addParts,
  arrange,
  denseTensor,
  foundInArrays,
  foundInTensors,
  foundInTime,
  joinedInTime,
  layersOf,
  type NamedTensor,
} from "./arrange.ts";
import { shapeText } from "./messages.ts";
import { Tensor } from "./pickle.ts";
import type { LayerParts, Part } from "./recorded-layer.ts";
import type { Found, RecordingOptions } from "./recording.ts";
import { rowsOf, type StoredTensor, selected, tensorOf } from "./stored-tensor.ts";

/** One file's contents. */
export interface Capture {
  readonly file: string;
  readonly value: unknown;
}

/** Returns the entries of a dictionary of a pickle or of JSON; null if `value` is none. */
export function entriesOf(value: unknown): Map<unknown, unknown> | null {
  if (value instanceof Map) return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return Object.getPrototypeOf(value) === Object.prototype ? new Map(Object.entries(value)) : null;
}

function numbersOf(value: unknown, file: string): StoredTensor | null {
  return value instanceof Tensor ? value.stored : denseTensor(value, file);
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value);
}

/** Returns the integer ≥ 0 that a key is or spells; null if it is none. */
function idOf(key: unknown): number | null {
  if (isWhole(key) && key >= 0) return key;
  return typeof key === "string" && /^\d{1,9}$/.test(key) ? Number(key) : null;
}

/** A kind of capture, known by its keys. */
interface CaptureKind {
  isOne(entries: Map<unknown, unknown>): boolean;
  open(captures: readonly Capture[], options: RecordingOptions): Found | Promise<Found>;
}

const dictionaries: readonly CaptureKind[] = [
  { isOne: (entries) => entries.has("logical_count"), open: openLogicalCount },
  { isOne: (entries) => Array.isArray(entries.get("records")), open: openSglangRecords },
  { isOne: (entries) => Array.isArray(entries.get("samples")), open: openSamples },
  { isOne: (entries) => entries.has("token_scores") || entries.has("gate_scores"), open: openEsftSummary },
  { isOne: isPlacement, open: refusePlacement },
  { isOne: isByLayer((value) => entriesOf(value)?.has("expert_frequency") ?? false), open: openReap },
  { isOne: isByLayer((value) => countsOf(value) !== null), open: openCounts },
];

/** Keys under which a dictionary keeps the logits that a model returned. */
const logitKeys = ["router_logits", "gate_logits", "logits"];

/**
 * Returns what captures hold: files of one kind, such as one per rank. Throws `InputError` if they are of no known kind.
 *
 * @param what the kind of file, if it holds only arrays
 */
export async function foundInCaptures(
  what: string,
  captures: readonly Capture[],
  options: RecordingOptions,
): Promise<Found> {
  const [{ file, value }] = captures;
  const entries = entriesOf(value);
  if (entries !== null) {
    const kind = dictionaries.find(({ isOne }) => isOne(entries));
    if (kind !== undefined) return kind.open(captures, options);
    const key = logitKeys.find((each) => entries.has(each));
    const inner = key === undefined ? undefined : entries.get(key);
    if (captures.length === 1 && inner !== undefined && !(inner instanceof Tensor && entries.size > 1)) {
      return foundInCaptures(what, [{ file, value: inner }], options);
    }
  }
  if (captures.length > 1) {
    const arrays = captures.map((each) => ({ file: each.file, tensor: numbersOf(each.value, each.file) }));
    if (arrays.every((each): each is { file: string; tensor: StoredTensor } => each.tensor !== null)) {
      return foundInArrays(what, arrays, options);
    }
    return foundInTime(
      captures.map((each) => each.file),
      (index) => foundInCaptures(what, [captures[index]], options),
    );
  }
  if (Array.isArray(value) && value.length > 0) {
    if (value.every((each) => countsOf(each) !== null && entriesOf(each) !== null))
      return openCounts(captures, options);
    if (value.every((each) => Array.isArray(each) && each.every((one) => one instanceof Tensor))) {
      return openGenerated(what, file, value as Tensor[][], options);
    }
  }
  return foundInTensors(what, file, tensorsOf(file, value), options);
}

function oneOf(captures: readonly Capture[]): Capture {
  if (captures.length > 1) {
    throw new InputError(
      `${captures[0].file} and ${captures.length - 1} more: these are several recordings, not parts of one; name one of them`,
    );
  }
  return captures[0];
}

/** Returns the arrays of a value with their names; throws if there are none. */
function tensorsOf(file: string, value: unknown): NamedTensor[] {
  const whole = numbersOf(value, file);
  if (whole !== null) return [{ name: "", tensor: whole }];
  const entries = Array.isArray(value) ? value.entries() : (entriesOf(value) ?? []);
  const tensors: NamedTensor[] = [];
  for (const [key, each] of entries) {
    const tensor = numbersOf(each, file);
    if (tensor !== null) tensors.push({ name: String(key), tensor });
  }
  if (tensors.length > 0) return tensors;
  throw new InputError(
    `${file}: nothing in it is known as routing data; looked for tensors and arrays, counts by layer, and the captures of ` +
      "SGLang, vLLM, Megatron-LM, TensorRT-LLM, slime, REAP and ESFT",
  );
}

/** Logits of a generation, `[steps][layers]` of `[tokens, experts]`. */
function openGenerated(what: string, file: string, steps: readonly Tensor[][], options: RecordingOptions): Found {
  const layers = new Map<number, Part[]>();
  let columns = 0;
  for (const [step, tensors] of steps.entries()) {
    for (const [layer, { stored }] of tensors.entries()) {
      const arranged = arrange(stored, "logits", options.axes ?? ["tokens", "experts"], { step });
      if (columns !== 0 && columns !== arranged.columns) {
        throw new InputError(`${file}: layer ${layer} has ${arranged.columns} experts in step ${step}, not ${columns}`);
      }
      columns = arranged.columns;
      layers.set(layer, [...(layers.get(layer) ?? []), ...arranged.layers[0]]);
    }
  }
  const sizes = { hasLayers: true, hasSteps: true, experts: columns, topK: null };
  return { what, content: "logits", layers: layersOf(layers), ...sizes, notes: [] };
}

/**
 * SGLang's `stat`: counts `[steps, layers, experts]` of logical experts, or `[layers, experts]`. Several files are one after
 * another in time: only rank 0 writes.
 */
function openLogicalCount(captures: readonly Capture[], options: RecordingOptions): Found {
  return joinedInTime(
    captures.map(({ file }) => file),
    captures.map((capture) => openOneLogicalCount(capture, options)),
  );
}

function openOneLogicalCount({ file, value }: Capture, options: RecordingOptions): Found {
  const counts = numbersOf(entriesOf(value)!.get("logical_count"), file);
  if (counts === null) throw new InputError(`${file}: its logical_count is not an array of numbers`);
  const axes = options.axes ?? (counts.shape.length === 2 ? (["layers", "experts"] as const) : undefined);
  const arranged = arrange(counts, "loads", axes);
  return {
    what: "SGLang expert distribution (stat)",
    content: "loads",
    layers: arranged.layers.map((parts, id) => ({ id, parts })),
    hasLayers: arranged.hasLayers,
    hasSteps: true,
    experts: arranged.columns,
    topK: null,
    notes: [],
  };
}

/** One forward pass on one rank. */
interface PassRecord {
  readonly file: string;
  readonly pass: number;
  /** `[layers, physical experts]` */
  readonly counts: StoredTensor | null;
  /** `[layers, tokens, slots]` */
  readonly choices: StoredTensor | null;
}

/** SGLang's `per_pass` and `per_token`: a record per forward pass, a file per rank. */
async function openSglangRecords(captures: readonly Capture[]): Promise<Found> {
  const passes = new Set<number>();
  const found: PassRecord[] = [];
  let expertsOf: readonly Int32Array[] | null = null;
  for (const { file, value } of captures) {
    const entries = entriesOf(value);
    const records = entries?.get("records");
    if (!Array.isArray(records)) throw new InputError(`${file}: has no records, unlike ${captures[0].file}`);
    const own = numbersOf(entries?.get("last_physical_to_logical_map"), file);
    if (own !== null) expertsOf ??= await mapOfLayers(file, own);
    for (const [index, record] of records.entries()) {
      const fields = entriesOf(record);
      const id = fields?.get("forward_pass_id");
      const pass = isWhole(id) ? id : index;
      passes.add(pass);
      const counts = numbersOf(fields?.get("global_physical_count"), file);
      const choices = numbersOf(fields?.get("topk_ids_of_layer"), file);
      if (counts === null && choices === null) {
        throw new InputError(`${file}: record ${index} has neither global_physical_count nor topk_ids_of_layer`);
      }
      found.push({ file, pass, counts, choices });
    }
  }
  if (found.length === 0) throw new InputError(`${captures[0].file}: empty stream: it has no records`);
  const steps = new Map([...passes].sort((a, b) => a - b).map((pass, step) => [pass, step]));
  const ranks = captures.length === 1 ? "" : `, ${captures.length} ranks`;
  return found[0].choices === null
    ? physicalCounts(found, steps, expertsOf, ranks)
    : choicesByPass(found, steps, expertsOf, ranks);
}

function physicalCounts(
  records: readonly PassRecord[],
  steps: ReadonlyMap<number, number>,
  expertsOf: readonly Int32Array[] | null,
  ranks: string,
): Found {
  const layers = new Map<number, Part[]>();
  const physical = records[0].counts?.shape[1] ?? 0;
  const experts = expertsOf === null ? physical : Math.max(...expertsOf.map((row) => Math.max(...row))) + 1;
  for (const { file: own, pass, counts } of records) {
    if (counts === null || counts.shape.length !== 2 || counts.shape[1] !== physical) {
      throw new InputError(`${own}: records differ in shape; expected [layers, ${physical}]`);
    }
    for (let layer = 0; layer < counts.shape[0]; layer++) {
      const expertOf = expertsOf?.[layer];
      if (expertOf !== undefined && expertOf.length < physical) {
        throw new InputError(
          `${own}: the map of layer ${layer} has ${expertOf.length} slots; the counts have ${physical}`,
        );
      }
      const rows = rowsOf(selected(counts, 0, layer));
      const part = { rows, step: steps.get(pass)!, rowsPerStep: 1, ...(expertOf !== undefined && { expertOf }) };
      layers.set(layer, [...(layers.get(layer) ?? []), part]);
    }
  }
  const notes =
    expertsOf === null
      ? [
          "There is no map from physical to logical experts in the file: copies of an expert count as experts of their own.",
        ]
      : physical === experts
        ? []
        : [`${physical} physical experts are counted as the ${experts} logical ones that they are copies of.`];
  return {
    what: `SGLang expert distribution (per_pass${ranks})`,
    content: "loads",
    layers: layersOf(layers),
    hasLayers: true,
    hasSteps: true,
    experts,
    topK: null,
    notes,
  };
}

/** Maximum number of a physical or logical expert, and of layers in a map. */
const [maxExpert, maxMapValues] = [65_535, 1 << 22];

/** Reads SGLang's map `[layers, physical experts]`: the logical expert of each physical one, by layer. */
async function mapOfLayers(file: string, map: StoredTensor): Promise<readonly Int32Array[]> {
  const { shape } = map;
  if (shape.length !== 2 || shape.includes(0) || shape[0] * shape[1] > maxMapValues) {
    throw new InputError(
      `${file}: the map of physical experts has the shape ${shapeText(shape)}; expected [layers, experts]`,
    );
  }
  const rows = rowsOf(map);
  const row = new Float64Array(rows.columns);
  const maps: Int32Array[] = [];
  for (let layer = 0; layer < rows.rows; layer++) {
    await rows.read(row, 0, layer, 1);
    if (!row.every((expert) => Number.isInteger(expert) && expert >= -1 && expert <= maxExpert)) {
      throw new InputError(`${file}: the map of physical experts holds something else than experts in layer ${layer}`);
    }
    maps.push(Int32Array.from(row));
  }
  return maps;
}

/** Tokens that are looked at to find slots that no token uses. */
const tokensLookedAt = 64;

async function choicesByPass(
  records: readonly PassRecord[],
  steps: ReadonlyMap<number, number>,
  expertsOf: readonly Int32Array[] | null,
  ranks: string,
): Promise<Found> {
  const layers = new Map<number, Part[]>();
  const slots = records[0].choices?.shape[2] ?? 0;
  let used = 0;
  for (const { file, pass, choices } of records) {
    if (choices === null || choices.shape.length !== 3 || choices.shape[2] !== slots) {
      throw new InputError(`${file}: records differ in shape; expected [layers, tokens, ${slots}]`);
    }
    if (choices.shape.includes(0)) continue;
    for (let layer = 0; layer < choices.shape[0]; layer++) {
      const rows = rowsOf(selected(choices, 0, layer));
      if (pass === records[0].pass) used = Math.max(used, await usedSlots(rows));
      layers.set(layer, [
        ...(layers.get(layer) ?? []),
        { rows, step: steps.get(pass)!, rowsPerStep: Math.max(1, rows.rows) },
      ]);
    }
  }
  const physical = expertsOf === null ? 0 : expertsOf[0].length;
  const logical = expertsOf === null ? 0 : Math.max(...expertsOf.map((row) => Math.max(...row))) + 1;
  return {
    what: `SGLang expert distribution (per_token${ranks})`,
    content: "selections",
    layers: layersOf(layers),
    hasLayers: true,
    hasSteps: true,
    experts: expertsOf === null ? null : logical,
    topK: used === 0 ? slots : used,
    notes: [
      ...(used === 0 || used === slots ? [] : [`Of the ${slots} slots of a token, ${used} are used.`]),
      ...(physical === logical
        ? []
        : [`The ids are taken for logical experts; the model has ${physical} physical ones.`]),
    ],
  };
}

async function usedSlots(rows: ReturnType<typeof rowsOf>): Promise<number> {
  const count = Math.min(tokensLookedAt, rows.rows);
  const values = new Float64Array(count * rows.columns);
  await rows.read(values, 0, 0, count);
  return values.reduce((most, expert, i) => (expert === -1 ? most : Math.max(most, (i % rows.columns) + 1)), 0);
}

/** slime's rollout data: samples with `rollout_routed_experts` `[tokens, layers, topK]`. Nothing else of them is read. */
function openSamples(captures: readonly Capture[], options: RecordingOptions): Found {
  const layers = new Map<number, Part[]>();
  let count = 0;
  let columns = 0;
  for (const { file, value } of captures) {
    for (const [index, sample] of (entriesOf(value)!.get("samples") as unknown[]).entries()) {
      const fields = entriesOf(sample);
      const routes = fields?.get("rollout_routed_experts") ?? fields?.get("routed_experts") ?? null;
      if (routes === null) continue;
      const choices = numbersOf(routes, file);
      if (choices === null) throw new InputError(`${file}: the routed experts of sample ${index} are not an array`);
      const arranged = arrange(choices, "selections", options.axes ?? ["tokens", "layers", "topK"]);
      if (count > 0 && (arranged.columns !== columns || arranged.layers.length !== layers.size)) {
        throw new InputError(
          `${file}: sample ${index} has the shape ${shapeText(choices.shape)}, unlike those before it`,
        );
      }
      columns = arranged.columns;
      count += 1;
      addParts(layers, arranged.layers);
    }
  }
  if (count === 0) throw new InputError(`${captures[0].file}: none of its samples has routed experts`);
  return {
    what: `rollout data of slime, ${count} samples`,
    content: "selections",
    layers: layersOf(layers),
    hasLayers: true,
    hasSteps: false,
    experts: null,
    topK: columns,
    notes: [],
  };
}

function isByLayer(isLayer: (value: unknown) => boolean): (entries: Map<unknown, unknown>) => boolean {
  return (entries) =>
    entries.size > 0 && Array.from(entries).every(([key, each]) => idOf(key) !== null && isLayer(each));
}

/** Cerebras REAP's observations: `{layer: {expert_frequency: [experts], …}}`. */
function openReap(captures: readonly Capture[]): Found {
  const { file, value } = oneOf(captures);
  const layers: LayerParts[] = [];
  let experts = 0;
  for (const [key, each] of entriesOf(value)!) {
    const counts = numbersOf(entriesOf(each)!.get("expert_frequency"), file);
    if (counts === null)
      throw new InputError(`${file}: expert_frequency of layer ${String(key)} is not an array of numbers`);
    const arranged = arrange(counts, "loads", ["experts"]);
    experts = Math.max(experts, arranged.columns);
    layers.push({ id: idOf(key)!, parts: arranged.layers[0] });
  }
  return loadsByLayer("observations of REAP", layers, experts, []);
}

function loadsByLayer(what: string, layers: readonly LayerParts[], experts: number, notes: readonly string[]): Found {
  return { what, content: "loads", layers, hasLayers: true, hasSteps: true, experts, topK: null, notes };
}

/** Returns the counts of one layer, `{expert: count}` or `[count of each expert]`; null if `value` is neither. */
function countsOf(value: unknown): Map<number, number> | null {
  const entries = Array.isArray(value) ? value.entries() : entriesOf(value);
  if (entries === null) return null;
  const counts = new Map<number, number>();
  for (const [key, each] of entries) {
    const expert = idOf(key);
    if (expert === null || expert > maxExpert || !(typeof each === "number" || typeof each === "bigint")) return null;
    counts.set(expert, Number(each));
  }
  return counts.size === 0 ? null : counts;
}

function loadsOfCounts(
  file: string,
  counts: readonly (readonly [number, Map<number, number>])[],
  named: number | undefined,
): { layers: LayerParts[]; experts: number } {
  const last = counts.reduce((most, [, each]) => Math.max(most, ...each.keys()), 0);
  const experts = Math.max(last + 1, named ?? 0);
  if (experts * counts.length > maxMapValues)
    throw new InputError(`${file}: it names expert ${experts - 1}; no model has so many`);
  const layers = counts.map(([id, each]) => {
    const row = new Float64Array(experts);
    for (const [expert, count] of each) row[expert] = count;
    return { id, parts: [{ rows: rowsOf(tensorOf(row, [1, experts], file)), step: 0, rowsPerStep: 1 }] };
  });
  return { layers, experts };
}

/** Counters by layer: a list of them, as OLMoE's scripts write it, or a dictionary. Experts that are not named have 0. */
function openCounts(captures: readonly Capture[], options: RecordingOptions): Found {
  const { file, value } = oneOf(captures);
  const isListed = Array.isArray(value);
  const named = isListed
    ? Array.from(value.entries())
    : Array.from(entriesOf(value)!, ([key, each]) => [idOf(key)!, each] as const);
  const { layers, experts } = loadsOfCounts(
    file,
    named.map(([id, each]) => [id, countsOf(each)!] as const),
    options.experts,
  );
  const positions = "The file does not name its layers: 0, 1, … are their places in it.";
  const last = `The experts are those up to the last one with a count, ${experts - 1}.`;
  const notes = [...(isListed ? [positions] : []), ...(options.experts === undefined ? [last] : [])];
  return loadsByLayer("counters of experts by layer", layers, experts, notes);
}

/** ESFT's summary of expert scores: `{"token_scores": {layer: {expert: share}}, "gate_scores": …}`. */
function openEsftSummary(captures: readonly Capture[], options: RecordingOptions): Found {
  const { file, value } = oneOf(captures);
  const entries = entriesOf(value)!;
  const key = entries.has("token_scores") ? "token_scores" : "gate_scores";
  const named = Array.from(
    entriesOf(entries.get(key)) ?? [],
    ([layer, each]) => [idOf(layer), countsOf(each)] as const,
  );
  if (named.length === 0 || named.some(([id, each]) => id === null || each === null)) {
    throw new InputError(`${file}: its ${key} are not shares of experts by layer`);
  }
  const { layers, experts } = loadsOfCounts(file, named as [number, Map<number, number>][], options.experts);
  const notes =
    entries.has("gate_scores") && key === "token_scores" ? ["gate_scores, the means of the gates, are left out."] : [];
  return loadsByLayer(`expert scores of ESFT (${key})`, layers, experts, notes);
}

/** Whether a dictionary says where experts are, which is no recording of what they did. */
function isPlacement(entries: Map<unknown, unknown>): boolean {
  return ["layer_list", "moe_layer_count", "initial_global_assignments", "physical_to_logical_map"].some((key) =>
    entries.has(key),
  );
}

function refusePlacement([{ file }]: readonly Capture[]): never {
  throw new InputError(`${file}: a placement of experts on devices, which holds no loads, choices or logits`);
}
