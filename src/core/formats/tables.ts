/** Tables: CSV and Parquet files, wide or long, whose columns are known by their names. */
import { InputError } from "../input-error.ts";
import type { Source } from "../source.ts";
import { contentOf, layersOf, rowsLookedAt } from "./arrange.ts";
import { type ColumnRole, openCsvTable, roleOf } from "./csv.ts";
import { elementTypes } from "./element-type.ts";
import { listNames, quoteName, shapeText } from "./messages.ts";
import { openParquetTable } from "./parquet/parquet.ts";
import type { Content, LayerParts, Part } from "./recorded-layer.ts";
import type { Found, RecordingOptions } from "./recording.ts";
import { rowsOf, type StoredRows, type TensorNumbers, tensorOf } from "./stored-tensor.ts";

/** A column of numbers, or of lists of numbers, of a table. */
interface TableColumn {
  readonly name: string;
  readonly role: ColumnRole;
  readonly kind: "float" | "integer" | "number";
  readonly dtype: string;
  /** Numbers in one row. */
  readonly width: number;
  /** Lengths of the lists in a row: none for one number, `[topK]`, or `[layers, topK]`. */
  readonly shape: readonly number[];
}

/** A table that can be read again and again, from its front to its back. */
interface Table {
  readonly file: string;
  readonly what: string;
  readonly columns: readonly TableColumn[];
  readonly rows: number;
  readonly notes: readonly string[];
  /** Whether a header numbers the columns of values from 0, beside columns of other things. */
  readonly isNumbered?: boolean;
  /** Yields the numbers in `columns` of each row, side by side. The array is overwritten by the next row. */
  values(columns: readonly TableColumn[]): AsyncGenerator<Float64Array>;
}

/** Maximum bytes of the numbers of a long table, which are gathered in memory by layer. */
const maxTableBytes = 2 ** 30;

/** Opens one table of a text file. Throws `InputError`. */
export async function openTextTable(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const file = oneOf(files, "table");
  const csv = await openCsvTable(file);
  const columns = Array.from({ length: csv.columns }, (_, i) => {
    const name = csv.names?.[i] ?? "";
    const role = csv.names === null ? "value" : roleOf(name);
    return { name, role, kind: "number", dtype: "text", width: 1, shape: [] } as const satisfies TableColumn;
  });
  const places = new Map(columns.map((column, i) => [column as TableColumn, i]));
  const notes = csv.hasNumberedHeader
    ? [`The first row, 0 to ${columns.filter(({ role }) => role === "value").length - 1}, is taken for a header.`]
    : [];
  const first = columns.find(({ role }) => role !== "other");
  let rows = 0;
  for await (const _ of csv.rows(first === undefined ? [] : [places.get(first)!])) rows++;
  if (rows === 0) throw new InputError(`${file.name}: empty stream: the file has no rows of numbers`);
  return openTable(
    {
      file: file.name,
      what: "table",
      columns,
      rows,
      notes,
      isNumbered: csv.hasNumberedHeader && columns.some(({ role }) => role !== "value"),
      values: (chosen) => csv.rows(chosen.map((column) => places.get(column)!)),
    },
    options,
  );
}

/** Opens the table of a Parquet file. Throws `InputError`. */
export async function openParquetTables(files: readonly Source[], options: RecordingOptions): Promise<Found> {
  const file = oneOf(files, ".parquet file");
  const table = await openParquetTable(file);
  const columns = table.columns.map((column) => ({
    ...column,
    role: column.width > 1 ? ("value" as const) : roleOf(column.name),
  }));
  const originals = new Map(columns.map((column, i) => [column as TableColumn, table.columns[i]]));
  const notes =
    table.others.length === 0
      ? []
      : [`Columns without numbers are left out: ${listNames(table.others.map(quoteName))}.`];
  return openTable(
    {
      file: file.name,
      what: "Parquet table",
      columns,
      rows: table.rows,
      notes,
      values: (chosen) => table.values(chosen.map((column) => originals.get(column)!)),
    },
    options,
  );
}

function oneOf(files: readonly Source[], what: string): Source {
  if (files.length > 1) throw new InputError(`${files[0].name} and ${files.length - 1} more: name one ${what}`);
  return files[0];
}

async function openTable(table: Table, options: RecordingOptions): Promise<Found> {
  const { file, columns } = table;
  if (options.tensor !== undefined)
    throw new InputError(`${file}: a table has columns, not tensors; name one with "column"`);
  const axes = {
    step: columns.find(({ role }) => role === "step"),
    layer: columns.find(({ role }) => role === "layer"),
    token: columns.find(({ role }) => role === "token"),
    expert: columns.find(({ role }) => role === "expert"),
  };
  if (axes.expert !== undefined && options.column === undefined && options.as !== "logits") {
    // A single column of another name, such as `share`, is that of the loads.
    const others = columns.filter(({ role }) => role === "value");
    const isOther = axes.token === undefined && others.length === 1;
    const count = columns.find(({ role }) => role === "count") ?? (isOther ? others[0] : undefined);
    if (count !== undefined) return openCounts(table, axes, count, options);
    if (axes.token !== undefined) return openPairs(table, axes);
  }
  if (options.column !== undefined && axes.expert !== undefined) {
    const count = columns.find(({ name }) => name === options.column);
    if (count !== undefined) return openCounts(table, axes, count, options);
  }
  const values = valueColumns(table, options);
  const left = columns.filter((column) => !values.includes(column) && column !== axes.step && column !== axes.layer);
  const notes =
    left.length === 0
      ? table.notes
      : [...table.notes, `Columns left out: ${listNames(left.map(({ name }) => quoteName(name)))}.`];
  const found =
    axes.step === undefined && axes.layer === undefined
      ? await openWide(table, values, options)
      : await openByLayer(table, values, axes, options);
  return { ...found, notes: [...notes, ...found.notes] };
}

interface AxisColumns {
  readonly step: TableColumn | undefined;
  readonly layer: TableColumn | undefined;
  readonly token: TableColumn | undefined;
  readonly expert: TableColumn | undefined;
}

/** Returns the columns that hold the experts: one column of lists, or one for each expert or choice. */
function valueColumns({ file, columns }: Table, { column, as }: RecordingOptions): readonly TableColumn[] {
  const list = listNames(
    columns.map(({ name, width, shape }) => (width === 1 ? quoteName(name) : `${quoteName(name)} ${shapeText(shape)}`)),
  );
  if (column !== undefined) {
    const named = columns.filter(({ name }) => name === column);
    if (named.length !== 1)
      throw new InputError(`${file}: no column of numbers ${quoteName(column)}; the file has ${list}`);
    return named;
  }
  const lists = columns.filter(({ width }) => width > 1);
  // Ids beside their weights.
  const integers =
    as === "logits" ? lists.filter(({ kind }) => kind === "float") : lists.filter(({ kind }) => kind === "integer");
  if (lists.length === 1) return lists;
  if (integers.length === 1) return integers;
  if (lists.length > 1) throw new InputError(`${file}: several list columns; select one with "column": ${list}`);
  const choices = columns.filter(({ role }) => role === "choice");
  const weights = columns.some(({ role }) => role === "other");
  const plain = columns.filter(({ role }) => role === "value" || role === "choice" || (role === "count" && !weights));
  const chosen = choices.length > 0 && plain.length > choices.length ? choices : plain;
  const [first] = chosen;
  if (first === undefined)
    throw new InputError(`${file}: no column holds experts or their numbers; the file has ${list}`);
  const odd = chosen.find(({ kind }) => kind !== first.kind);
  if (odd !== undefined) {
    throw new InputError(
      `${file}: columns ${quoteName(first.name)} (${first.dtype}) and ${quoteName(odd.name)} (${odd.dtype}) cannot both be ` +
        "experts; they must all be integers or all be floats",
    );
  }
  return chosen;
}

/** Returns a name that tells what columns hold, if theirs does. */
function hintName(columns: readonly TableColumn[]): string {
  if (columns.length === 1) return columns[0].name;
  return columns.every(({ role }) => role === "choice") ? "choice" : "";
}

/** A table without steps and layers: read in pieces, whatever its length. */
async function openWide(table: Table, columns: readonly TableColumn[], options: RecordingOptions): Promise<Found> {
  const { file, what, rows } = table;
  const [{ kind, dtype, shape: lists }] = columns;
  const width = columns.reduce((sum, column) => sum + column.width, 0);
  const layersInRow = lists.length === 2 ? lists[0] : 1;
  const shape = lists.length === 2 ? [rows, ...lists] : [rows, width];
  // Names such as e0 … e255 are those of experts too.
  const name = columns.length === 1 ? columns[0].name : "";
  const first = async () => firstRows(table, columns, width / layersInRow);
  const content = await contentOf(
    { file, name, dtype, kind, shape, first, expertsInHeader: table.isNumbered },
    options,
  );
  const perRow = width / layersInRow;
  const layers: LayerParts[] = Array.from({ length: layersInRow }, (_, id) => {
    const part = sequentialRows(table, columns, width, id * perRow, perRow);
    return { id, parts: [{ rows: part, step: 0, rowsPerStep: content === "loads" ? 1 : Math.max(1, rows) }] };
  });
  const axes = options.axes?.filter((axis) => axis !== "experts" && axis !== "topK");
  if (
    axes !== undefined &&
    axes.join() !== (content === "loads" ? "steps" : "tokens") &&
    !(lists.length === 2 && axes.join() === "tokens,layers")
  ) {
    if (content === "loads" && axes.join() === "layers") return loadsByRow(table, columns, width);
    throw new InputError(
      `${file}: the rows of this table are ${content === "loads" ? "steps, or layers" : "tokens"}, not ${axes.join(",")}`,
    );
  }
  return {
    what,
    content,
    layers,
    hasLayers: lists.length === 2,
    hasSteps: content === "loads",
    experts: content === "selections" ? null : perRow,
    topK: content === "selections" ? perRow : null,
    notes: [],
  };
}

/** Loads with a layer in each row. */
function loadsByRow(table: Table, columns: readonly TableColumn[], width: number): Found {
  const all = sequentialRows(table, columns, width, 0, width);
  const layers = Array.from({ length: table.rows }, (_, id): LayerParts => {
    const rows: StoredRows = {
      ...all,
      rows: 1,
      read: (into, start, row, count) => all.read(into, start, id + row, count),
    };
    return { id, parts: [{ rows, step: 0, rowsPerStep: 1 }] };
  });
  return {
    what: table.what,
    content: "loads",
    layers,
    hasLayers: true,
    hasSteps: true,
    experts: width,
    topK: null,
    notes: [],
  };
}

async function firstRows(table: Table, columns: readonly TableColumn[], perRow: number): Promise<Float64Array> {
  const found: number[] = [];
  let row = 0;
  for await (const numbers of table.values(columns)) {
    for (let i = 0; i < perRow; i++) found.push(numbers[i]);
    if (++row === rowsLookedAt) break;
  }
  return Float64Array.from(found);
}

/** Rows of a table from `first` on, `columns` numbers of each. Reading backwards begins again. */
function sequentialRows(
  table: Table,
  chosen: readonly TableColumn[],
  width: number,
  first: number,
  columns: number,
): StoredRows {
  let values: AsyncGenerator<Float64Array> | null = null;
  let next = 0;
  if (width > 1 << 20) throw new InputError(`${table.file}: ${width} columns are too many`);
  return {
    name: table.file,
    element: elementTypes.float64,
    rows: table.rows,
    columns,
    async read(into, start, row, count) {
      if (values === null || row < next) {
        await values?.return(undefined);
        values = table.values(chosen);
        next = 0;
      }
      for (let done = 0; done < count; ) {
        const { value, done: isOver } = await values.next();
        if (isOver) throw new InputError(`${table.file}: truncated: it ends before row ${next}`);
        if (next++ < row) continue;
        for (let column = 0; column < columns; column++) into[start + done * columns + column] = value[first + column];
        done += 1;
      }
    },
  };
}

/** Types of array, from the narrowest: the experts of most models fit into one byte. */
const numberArrays = [Int8Array, Int16Array, Int32Array, Float64Array] as const;

/** Numbers that grow, in memory. Integers take as few bytes as the largest of them needs. */
export class NumberList {
  private type: number;
  private values: TensorNumbers;
  length = 0;

  constructor(kind: "float" | "integer") {
    this.type = kind === "integer" ? 0 : numberArrays.length - 1;
    this.values = new numberArrays[this.type](64);
  }

  push(value: number): void {
    if (this.length === this.values.length) this.move(2 * this.length);
    this.values[this.length] = value;
    while (this.values[this.length] !== value && this.type < numberArrays.length - 1) {
      this.type += 1;
      this.move(this.values.length);
      this.values[this.length] = value;
    }
    this.length += 1;
  }

  get(index: number): number {
    return this.values[index];
  }

  /** Bytes of the numbers. */
  get byteLength(): number {
    return this.length * this.values.BYTES_PER_ELEMENT;
  }

  /** Returns the numbers; not a copy. */
  toArray(): TensorNumbers {
    return this.values.subarray(0, this.length);
  }

  private move(length: number): void {
    const moved = new numberArrays[this.type](length);
    moved.set(this.values.subarray(0, this.length));
    this.values = moved;
  }
}

/** Counts numbers held in memory. Throws `InputError` above the limit. */
function createBudget(file: string): (bytes: number) => void {
  let held = 0;
  return (bytes) => {
    held += bytes;
    if (held > maxTableBytes) {
      throw new InputError(
        `${file}: a table with steps or layers is gathered in memory, and this one takes more than ${maxTableBytes} bytes; ` +
          "save arrays instead (.npy, .npz, .safetensors)",
      );
    }
  };
}

/** Returns a whole number ≥ 0 in an id column. Throws `InputError` for anything else. */
function checkId(file: string, what: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new InputError(`${file}: ${what} ${value}; expected an integer from 0 to ${most}`);
}

const [maxLayer, maxExpert] = [4095, 65_535];

/** Rows with numbers of steps or layers: choices, loads or logits, gathered by layer. */
async function openByLayer(
  table: Table,
  columns: readonly TableColumn[],
  axes: AxisColumns,
  options: RecordingOptions,
): Promise<Found> {
  const { file, what } = table;
  const [{ kind, dtype, shape: lists }] = columns;
  if (lists.length === 2)
    throw new InputError(`${file}: lists of lists beside numbers of steps or layers are not supported`);
  const width = columns.reduce((sum, column) => sum + column.width, 0);
  const ids = [axes.step, axes.layer].filter((column) => column !== undefined);
  const budget = createBudget(file);
  const byLayer = new Map<number, { steps: NumberList; values: NumberList }>();
  for await (const numbers of table.values([...ids, ...columns])) {
    const step = axes.step === undefined ? 0 : numbers[0];
    const layer = axes.layer === undefined ? 0 : checkId(file, "layer", numbers[ids.length - 1], maxLayer);
    if (!Number.isSafeInteger(step)) throw new InputError(`${file}: step ${step}; expected an integer`);
    let own = byLayer.get(layer);
    if (own === undefined) {
      own = { steps: new NumberList("float"), values: new NumberList("float") };
      byLayer.set(layer, own);
    }
    own.steps.push(step);
    for (let i = 0; i < width; i++) own.values.push(numbers[ids.length + i]);
    budget(8 * (width + 1));
  }
  const [sample] = byLayer.values();
  const shape = [sample.steps.length, width];
  const first = async () => Float64Array.from(sample.values.toArray().subarray(0, rowsLookedAt * width));
  const name = axes.token === undefined ? (columns.length === 1 ? columns[0].name : "") : hintName(columns);
  const content = await contentOf(
    { file, name, dtype, kind, shape, first, expertsInHeader: table.isNumbered, isByIds: true },
    options,
  );
  const numberOf = stepNumbers([...byLayer.values()].map(({ steps }) => steps));
  const layers = new Map<number, Part[]>();
  for (const [layer, { steps, values }] of byLayer) {
    const tensor = tensorOf(values.toArray() as Float64Array<ArrayBuffer>, [steps.length, width], file);
    if (content === "loads" && axes.step === undefined) {
      layers.set(layer, [{ rows: rowsOf(tensor), step: 0, rowsPerStep: 1 }]);
      continue;
    }
    // Neighbouring rows of one step are one part.
    for (let row = 0; row < steps.length; ) {
      let end = row + 1;
      while (end < steps.length && steps.get(end) === steps.get(row)) end++;
      const part = { ...tensor, shape: [end - row, width], begin: row * width * tensor.element.bytes };
      const rows = rowsOf(part);
      const own = layers.get(layer) ?? [];
      own.push({ rows, step: numberOf.get(steps.get(row))!, rowsPerStep: end - row });
      layers.set(layer, own);
      row = end;
    }
  }
  return {
    what,
    content,
    layers: layersOf(layers),
    hasLayers: axes.layer !== undefined,
    hasSteps: axes.step !== undefined || content === "loads",
    experts: content === "selections" ? null : width,
    topK: content === "selections" ? width : null,
    notes: [],
  };
}

/** Returns the place of each step that is named, in ascending order. */
function stepNumbers(lists: readonly NumberList[]): ReadonlyMap<number, number> {
  const named = new Set<number>();
  for (const list of lists) for (const step of list.toArray()) named.add(step);
  return new Map([...named].sort((a, b) => a - b).map((step, place) => [step, place]));
}

/** A row per layer and expert with its count; rows that are missing are 0. */
async function openCounts(
  table: Table,
  axes: AxisColumns,
  count: TableColumn,
  options: RecordingOptions,
): Promise<Found> {
  const { file, what } = table;
  const expert = axes.expert!;
  const ids = [axes.step, axes.layer].filter((column) => column !== undefined);
  const budget = createBudget(file);
  const byLayer = new Map<number, { steps: NumberList; experts: NumberList; counts: NumberList }>();
  let last = 0;
  for await (const numbers of table.values([...ids, expert, count])) {
    const step = axes.step === undefined ? 0 : numbers[0];
    if (!Number.isSafeInteger(step)) throw new InputError(`${file}: step ${step}; expected an integer`);
    const layer = axes.layer === undefined ? 0 : checkId(file, "layer", numbers[ids.length - 1], maxLayer);
    const id = checkId(file, "expert", numbers[ids.length], maxExpert);
    let own = byLayer.get(layer);
    if (own === undefined) {
      own = { steps: new NumberList("float"), experts: new NumberList("integer"), counts: new NumberList("float") };
      byLayer.set(layer, own);
    }
    own.steps.push(step);
    own.experts.push(id);
    own.counts.push(numbers[ids.length + 1]);
    budget(24);
    last = Math.max(last, id);
  }
  const experts = Math.max(last + 1, options.experts ?? 0);
  const numberOf = stepNumbers([...byLayer.values()].map(({ steps }) => steps));
  const layers = Array.from(byLayer, ([id, own]): LayerParts => {
    const rows = sparseRows(file, experts, numberOf.size, own, (step) => numberOf.get(step)!);
    return { id, parts: [{ rows, step: 0, rowsPerStep: 1 }] };
  });
  const leftOut = table.columns.filter((column) => ![...ids, expert, count].includes(column));
  const gaps =
    options.experts === undefined
      ? [`Experts are those up to the last one named, ${last}; rows that are missing count 0.`]
      : [];
  return {
    what: `long ${what} (${[...ids, expert, count].map(({ name }) => name).join(", ")})`,
    content: "loads",
    layers,
    hasLayers: axes.layer !== undefined,
    hasSteps: true,
    experts,
    topK: null,
    notes: [
      ...table.notes,
      ...(leftOut.length === 0 ? [] : [`Columns left out: ${listNames(leftOut.map(({ name }) => quoteName(name)))}.`]),
      ...gaps,
    ],
  };
}

/** Loads `[steps, experts]` of which only those that are not 0 are held. */
function sparseRows(
  file: string,
  experts: number,
  steps: number,
  { steps: named, experts: ids, counts }: { steps: NumberList; experts: NumberList; counts: NumberList },
  numberOf: (step: number) => number,
): StoredRows {
  const order = Uint32Array.from({ length: named.length }, (_, i) => i);
  const place = Uint32Array.from({ length: named.length }, (_, i) => numberOf(named.get(i)));
  order.sort((a, b) => place[a] - place[b] || a - b);
  const begin = new Uint32Array(steps + 1);
  for (const step of place) begin[step + 1] += 1;
  for (let step = 0; step < steps; step++) begin[step + 1] += begin[step];
  return {
    name: file,
    element: elementTypes.float64,
    rows: steps,
    columns: experts,
    async read(into, start, row, count) {
      into.fill(0, start, start + count * experts);
      for (let i = begin[row]; i < begin[row + count]; i++) {
        const entry = order[i];
        into[start + (place[entry] - row) * experts + ids.get(entry)] += counts.get(entry);
      }
    },
  };
}

/** A row per token, layer and expert. */
async function openPairs(table: Table, axes: AxisColumns): Promise<Found> {
  const { file, what } = table;
  const ids = [axes.step, axes.layer].filter((column) => column !== undefined);
  const budget = createBudget(file);
  const byLayer = new Map<number, { steps: NumberList; tokens: NumberList; experts: NumberList }>();
  for await (const numbers of table.values([...ids, axes.token!, axes.expert!])) {
    const step = axes.step === undefined ? 0 : numbers[0];
    const layer = axes.layer === undefined ? 0 : checkId(file, "layer", numbers[ids.length - 1], maxLayer);
    let own = byLayer.get(layer);
    if (own === undefined) {
      own = { steps: new NumberList("float"), tokens: new NumberList("float"), experts: new NumberList("integer") };
      byLayer.set(layer, own);
    }
    const token = numbers[ids.length];
    if (!Number.isSafeInteger(step) || !Number.isSafeInteger(token))
      throw new InputError(`${file}: steps and tokens must be integers`);
    own.steps.push(step);
    own.tokens.push(token);
    own.experts.push(checkId(file, "expert", numbers[ids.length + 1], maxExpert));
    budget(32);
  }
  const sorted = Array.from(byLayer, ([layer, own]) => ({ layer, own, tokens: tokensOf(own) }));
  const topK = sorted.reduce(
    (most, { tokens }) => tokens.reduce((max, { pairs }) => Math.max(max, pairs.length), most),
    0,
  );
  if (topK > 1024)
    throw new InputError(`${file}: one token has ${topK} rows; is its column of tokens one of something else?`);
  const numberOf = stepNumbers(sorted.map(({ own }) => own.steps));
  const layers = sorted.map(({ layer, own, tokens }): LayerParts => {
    budget(4 * topK * tokens.length);
    const choices = new Int32Array(topK * tokens.length).fill(-1);
    for (const [i, { pairs }] of tokens.entries())
      for (const [slot, pair] of pairs.entries()) choices[i * topK + slot] = own.experts.get(pair);
    const tensor = tensorOf(choices, [tokens.length, topK], file);
    const parts: Part[] = [];
    for (let row = 0; row < tokens.length; ) {
      let end = row + 1;
      while (end < tokens.length && tokens[end].step === tokens[row].step) end++;
      const rows = rowsOf({ ...tensor, shape: [end - row, topK], begin: row * topK * tensor.element.bytes });
      parts.push({ rows, step: numberOf.get(tokens[row].step)!, rowsPerStep: end - row });
      row = end;
    }
    return { id: layer, parts };
  });
  const content: Content = "selections";
  return {
    what: `long ${what} (${[...ids, axes.token!, axes.expert!].map(({ name }) => name).join(", ")})`,
    content,
    layers,
    hasLayers: axes.layer !== undefined,
    hasSteps: axes.step !== undefined,
    experts: null,
    topK,
    notes: table.notes,
  };
}

/** The rows of each token, in the order of steps and tokens. */
function tokensOf({ steps, tokens }: { steps: NumberList; tokens: NumberList }): { step: number; pairs: number[] }[] {
  const order = Uint32Array.from({ length: steps.length }, (_, i) => i);
  order.sort((a, b) => steps.get(a) - steps.get(b) || tokens.get(a) - tokens.get(b) || a - b);
  const found: { step: number; token: number; pairs: number[] }[] = [];
  for (const row of order) {
    const last = found.at(-1);
    if (last !== undefined && last.step === steps.get(row) && last.token === tokens.get(row)) last.pairs.push(row);
    else found.push({ step: steps.get(row), token: tokens.get(row), pairs: [row] });
  }
  return found;
}
