import { InputError } from "../input-error.ts";
import { counted } from "../words.ts";
import type { StoredRows } from "./stored-tensor.ts";

/** What a recording holds. `balancedness` is one number per step that an engine wrote into its log. */
export const contents = ["logits", "selections", "loads", "balancedness"] as const;
/** `logits`, `selections`, `loads` or `balancedness`. */
export type Content = (typeof contents)[number];

/** What the numbers of recorded logits are. */
export const inputKinds = ["logits", "probabilities", "log-probabilities"] as const;
/** `logits`, `probabilities` or `log-probabilities`. */
export type InputKind = (typeof inputKinds)[number];

/** Rows of a layer that lie side by side in a file. */
export interface Part {
  readonly rows: StoredRows;
  /** The step of the first row, from 0; 0 if the recording has no steps. */
  readonly step: number;
  /** Rows that belong to one step, at least 1. */
  readonly rowsPerStep: number;
  /** Of loads: `[columns]`, the expert that each column counts; absent if column e counts expert e. */
  readonly expertOf?: Int32Array;
}

/** Where the numbers of one layer are. */
export interface LayerParts {
  /** The model's number of the layer, or its position if the file does not say. */
  readonly id: number;
  readonly parts: readonly Part[];
}

/** Some rows of one step of one layer. */
export interface RecordedRows {
  /** Counted from 0, after the steps that were skipped. */
  readonly step: number;
  readonly rows: number;
  /**
   * `[rows × columns]`, overwritten by the next: logits, or the experts of a token with −1 for none, or the loads of all
   * experts in one row. May be longer.
   */
  readonly values: Float32Array | Float64Array;
  /** Whether no rows of this step follow. */
  readonly endsStep: boolean;
}

/** Reads one layer of a recording from front to back. Memory holds some thousand rows. */
export interface LayerReader {
  readonly id: number;
  readonly steps: number;
  /** Rows of all steps, and of those that are skipped before them. */
  readonly rows: number;
  readonly skippedRows: number;
  /** Tokens of the largest step; null for loads, which do not say. */
  readonly tokens: number | null;
  /** Experts, slots per token, or 1 for balancedness. */
  readonly columns: number;
  /** Returns the next rows, or null after the last. Steps without rows are left out. Throws `InputError` if data is bad. */
  next(): Promise<RecordedRows | null>;
  /**
   * Reads the next rows into the front of `into`, `[count × columns]`, and returns how many there were: `count`, or fewer at
   * the end of a step or of the layer, and 0 after it. Use this or {@link next}, not both. Throws `InputError` if data is bad.
   */
  read(into: Float32Array | Float64Array, count: number): Promise<number>;
}

/** How to cut and convert the rows of a layer. */
export interface LayerOptions {
  readonly content: Content;
  /** Whether parts belong to steps; else all rows follow each other. */
  readonly hasSteps: boolean;
  /** Experts, for loads. */
  readonly experts: number | null;
  /** Rows per step if the recording has no steps; default: all. */
  readonly batchTokens?: number | undefined;
  /** Steps to leave out at the beginning. */
  readonly skip: number;
  readonly input: InputKind;
  /** How often each token was counted. */
  readonly divide: number;
}

/** Values read at once. */
const pieceValues = 1 << 16;
/** Affinity of a probability that is stored as 0: that of the least float32. */
const leastLogit = Math.log(2 ** -149);
/** A 1 that was rounded to bfloat16 after a sum of its own is no larger. */
const mostProbability = 1.01;

/** A run of rows of one part, in one step. */
interface Run {
  readonly part: Part;
  readonly step: number;
  readonly row: number;
  readonly rows: number;
}

/** Yields the rows in the order of their steps. Without steps, those of one part after those of another. */
function* runsOf(parts: readonly Part[], { hasSteps, batchTokens }: LayerOptions, steps: number): Generator<Run> {
  if (!hasSteps) {
    let token = 0;
    for (const part of parts) {
      for (let row = 0; row < part.rows.rows; ) {
        const step = batchTokens === undefined ? 0 : Math.floor(token / batchTokens);
        const left = batchTokens === undefined ? Number.POSITIVE_INFINITY : batchTokens - (token % batchTokens);
        const rows = Math.min(left, part.rows.rows - row);
        yield { part, step, row, rows };
        row += rows;
        token += rows;
      }
    }
    return;
  }
  const waiting = [...parts].sort((a, b) => a.step - b.step);
  let active: Part[] = [];
  let next = 0;
  for (let step = 0; step < steps; step++) {
    while (next < waiting.length && waiting[next].step === step) active.push(waiting[next++]);
    active = active.filter((part) => step < part.step + stepsOfPart(part));
    if (active.length === 0 && next < waiting.length) step = waiting[next].step - 1;
    for (const part of active) {
      const row = (step - part.step) * part.rowsPerStep;
      yield { part, step, row, rows: Math.min(part.rowsPerStep, part.rows.rows - row) };
    }
  }
}

function stepsOfPart({ rows, rowsPerStep }: Part): number {
  return Math.ceil(rows.rows / rowsPerStep);
}

/** Returns the steps, the rows of those that are skipped and of the others, and the rows of the largest step. */
function sizesOf(
  parts: readonly Part[],
  { hasSteps, batchTokens, skip }: LayerOptions,
): Pick<LayerReader, "steps" | "rows" | "skippedRows"> & { tokens: number } {
  const all = parts.reduce((sum, part) => sum + part.rows.rows, 0);
  if (!hasSteps) {
    const tokens = Math.min(batchTokens ?? all, all);
    const skippedRows = Math.min(all, skip * tokens);
    return { steps: tokens === 0 ? 0 : Math.ceil(all / tokens), rows: all - skippedRows, skippedRows, tokens };
  }
  const steps = parts.reduce((most, part) => Math.max(most, part.step + stepsOfPart(part)), 0);
  const skippedRows = parts.reduce(
    (sum, { step, rows, rowsPerStep }) => sum + Math.min(rows.rows, Math.max(0, skip - step) * rowsPerStep),
    0,
  );
  // Parts with several steps have them all alike, so that the first is as large as any.
  const perStep = new Map<number, number>();
  for (const { step, rows, rowsPerStep } of parts) {
    perStep.set(step, (perStep.get(step) ?? 0) + Math.min(rowsPerStep, rows.rows));
  }
  return { steps, rows: all - skippedRows, skippedRows, tokens: Math.max(0, ...perStep.values()) };
}

/** Opens a layer. Throws `InputError` if its parts differ in their columns. */
export function openLayer(layer: LayerParts, options: LayerOptions): LayerReader {
  const parts = layer.parts.filter(({ rows }) => rows.rows > 0);
  const { steps, rows, skippedRows, tokens } = sizesOf(parts, options);
  const [first] = parts;
  const columns = options.content === "loads" ? (options.experts ?? 0) : (first?.rows.columns ?? 0);
  const odd = parts.find(({ rows }) => options.content !== "loads" && rows.columns !== columns);
  if (odd !== undefined) {
    throw new InputError(
      `${odd.rows.name}: layer ${layer.id} has ${counted(columns, "column")} in one place and ${odd.rows.columns} in another`,
    );
  }
  const { skip } = options;
  const open = options.content === "loads" ? loadsReader : rowsReader;
  return {
    id: layer.id,
    steps: Math.max(0, steps - skip),
    rows,
    skippedRows,
    tokens: options.content === "loads" ? null : tokens,
    columns,
    ...open(runsOf(parts, options, steps), columns, options),
  };
}

/** Reads logits, choices or balancedness, in pieces of a step. */
function rowsReader(
  runs: Generator<Run>,
  columns: number,
  { content, skip, input }: LayerOptions,
): Pick<LayerReader, "next" | "read"> {
  const most = Math.max(1, Math.floor(pieceValues / Math.max(1, columns)));
  let values: Float32Array | Float64Array | null = null;
  let run: Run | undefined;
  let done = 0;
  let hasBegun = false;

  function advance(): void {
    const { value, done: isOver } = runs.next();
    run = isOver ? undefined : value;
    done = 0;
  }

  /** Reads up to `count` rows of one step into `into`; null after the last step. */
  async function readRun(
    into: Float32Array | Float64Array,
    count: number,
  ): Promise<{ step: number; rows: number; endsStep: boolean } | null> {
    if (!hasBegun) {
      hasBegun = true;
      advance();
      while (run !== undefined && run.step < skip) advance();
    }
    if (run === undefined) return null;
    const { step, part } = run;
    const { name } = part.rows;
    let rows = 0;
    let endsStep = false;
    while (rows < count && !endsStep) {
      const now = Math.min(count - rows, run.rows - done);
      await run.part.rows.read(into, rows * columns, run.row + done, now);
      rows += now;
      done += now;
      if (done < run.rows) break;
      advance();
      endsStep = run?.step !== step;
      if (run === undefined) break;
    }
    if (input === "probabilities" && content === "logits") toLogits(into, rows, columns, `${name}: step ${step}`);
    return { step: step - skip, rows, endsStep };
  }

  return {
    read: async (into, count) => (await readRun(into, count))?.rows ?? 0,
    async next() {
      values ??= content === "logits" ? new Float32Array(most * columns) : new Float64Array(most * columns);
      const piece = await readRun(values, most);
      return piece === null ? null : { ...piece, values };
    },
  };
}

/**
 * Turns probabilities into logits with the same softmax, in place. Their logarithms are such logits. Throws `InputError`, which
 * begins with `where`, for a number that is no probability; NaN stays.
 */
function toLogits(values: Float32Array | Float64Array, rows: number, columns: number, where: string): void {
  for (let i = 0; i < rows * columns; i++) {
    const value = values[i];
    if (value < 0 || value > mostProbability) {
      throw new InputError(`${where}, expert ${i % columns}: ${value} is not a probability; they are from 0 to 1`);
    }
    // A probability of 0 is one that was rounded, not a disabled expert.
    values[i] = value === 0 ? leastLogit : Math.log(value);
  }
}

/** Reads loads: all rows of a step are added up, as ranks and microbatches are. */
function loadsReader(
  runs: Generator<Run>,
  experts: number,
  { skip, divide }: LayerOptions,
): Pick<LayerReader, "next" | "read"> {
  const values = new Float64Array(experts);
  let row = new Float64Array(0);
  let run: Run | undefined;

  async function add({ part, row: first, rows }: Run): Promise<void> {
    const { rows: source, expertOf } = part;
    const { columns, name } = source;
    if (row.length < columns) row = new Float64Array(columns);
    for (let i = 0; i < rows; i++) {
      await source.read(row, 0, first + i, 1);
      for (let column = 0; column < columns; column++) {
        const expert = expertOf?.[column] ?? column;
        if (!(expert < experts)) {
          if (row[column] === 0 || expert < 0) continue;
          throw new InputError(`${name}: a load of expert ${expert}, but it has only ${counted(experts, "expert")}`);
        }
        if (expert >= 0) values[expert] += row[column];
      }
    }
  }

  async function next(): Promise<RecordedRows | null> {
    run ??= runs.next().value as Run | undefined;
    while (run !== undefined && run.step < skip) run = runs.next().value as Run | undefined;
    if (run === undefined) return null;
    const { step, part } = run;
    values.fill(0);
    while (run !== undefined && run.step === step) {
      await add(run);
      run = runs.next().value as Run | undefined;
    }
    if (divide !== 1) {
      for (let expert = 0; expert < experts; expert++) {
        if (values[expert] % divide !== 0) {
          throw new InputError(
            `${part.rows.name}: step ${step}, expert ${expert}: ${values[expert]} is not a multiple of ${divide}; the ranks did ` +
              "not all count the same tokens, so do not divide",
          );
        }
        values[expert] /= divide;
      }
    }
    return { step: step - skip, rows: 1, values, endsStep: true };
  }

  return {
    next,
    async read(into, count) {
      if (count === 0) return 0;
      const piece = await next();
      if (piece === null) return 0;
      into.set(piece.values);
      return 1;
    },
  };
}
