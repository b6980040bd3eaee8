import { InputError } from "../input-error.ts";
import type { Source } from "../source.ts";
import { openTensor } from "./open-tensor.ts";
import { shapeText, type TensorReader } from "./tensor-reader.ts";

/** Rows converted at once. */
const pieceValues = 1 << 16;
/** Maximum load in an `Int32Array`. */
const maxLoad = 2 ** 31 - 1;

/** What a real model did in one step. */
export interface RecordedStep {
  /** Counted from 0. */
  readonly step: number;
  /** Tokens of the step; null if only loads were recorded. */
  readonly tokens: number | null;
  /** `[experts]`, (token, expert) pairs on each expert. Overwritten by the next step. */
  readonly load: Int32Array;
}

/** Recorded choices or loads, step by step. */
export interface RecordedChoices {
  readonly file: string;
  readonly steps: number;
  readonly experts: number;
  /** Maximum tokens in a step; null if only loads were recorded. */
  readonly tokens: number | null;
  /** Slots per token; null if only loads were recorded. */
  readonly topK: number | null;
  /** Returns the next step, or null after the last. Throws `InputError` if the data is bad. */
  next(): Promise<RecordedStep | null>;
  close(): Promise<void>;
}

/**
 * Opens the experts that a model chose: integers `[tokens × topK]`, −1 = no expert, cut into steps of `batchTokens`
 * (default: the whole file is one step), or `[steps × tokens × topK]`. Throws `InputError` at once for floats, for a
 * `topK` above `experts` and for `batchTokens` with three dimensions; and, with token (within the file, from 0) and
 * slot, if a value is not an expert or a token has an expert twice.
 */
export async function openSelections(
  recorded: Source | string,
  experts: number,
  batchTokens?: number,
): Promise<RecordedChoices> {
  const reader = await openIntegers(recorded, "selections [tokens, topK]", (shape) => {
    if (shape.length < 2 || shape.length > 3) return "expected [tokens, topK] or [steps, tokens, topK]";
    if (shape.length === 3 && batchTokens !== undefined) return "the file is already in steps; remove batchTokens";
    const topK = shape[shape.length - 1];
    return topK > experts ? `${topK} experts per token, but there are only ${experts} experts` : null;
  });
  const { file, shape, rows, columns: topK } = reader;
  const tokensPerStep = shape.length === 3 ? shape[1] : Math.min(batchTokens ?? rows, rows);
  const steps = Math.ceil(rows / tokensPerStep);
  const load = new Int32Array(experts);
  const pieceRows = Math.max(1, Math.floor(pieceValues / topK));
  const piece = new Float64Array(pieceRows * topK);
  /** `[experts]`, the last token that chose each expert. */
  const lastToken = new Float64Array(experts).fill(-1);
  let step = 0;
  let token = 0;

  function countPiece(tokens: number): void {
    for (let i = 0; i < tokens * topK; i++) {
      const expert = piece[i];
      if (expert === -1) continue;
      const at = token + Math.floor(i / topK);
      if (!(Number.isInteger(expert) && expert >= 0 && expert < experts)) {
        throw new InputError(
          `${file}: token ${at}, slot ${i % topK}: ${expert} is not an expert; expected an integer from 0 to ${experts - 1}, ` +
            "or −1 for none",
        );
      }
      if (lastToken[expert] === at) {
        throw new InputError(
          `${file}: token ${at}, slot ${i % topK}: expert ${expert} appears twice; a token's experts must be distinct`,
        );
      }
      lastToken[expert] = at;
      load[expert]++;
    }
  }

  return {
    file,
    steps,
    experts,
    tokens: tokensPerStep,
    topK,
    async next() {
      if (step === steps) return null;
      load.fill(0);
      const tokens = Math.min(tokensPerStep, rows - token);
      for (let left = tokens; left > 0; ) {
        const read = await reader.read(piece, Math.min(left, pieceRows));
        if (read === 0) throw new InputError(`${file}: truncated: it ends before token ${token}`);
        countPiece(read);
        token += read;
        left -= read;
      }
      return { step: step++, tokens, load };
    },
    close: () => reader.close(),
  };
}

/**
 * Opens the number of tokens that a model sent to each expert: integers ≥ 0, `[steps × experts]`, or `[experts]` for
 * one step. Throws `InputError` at once for floats and if there are not `experts` columns; and, with step and expert,
 * if a value is not a count.
 */
export async function openLoads(recorded: Source | string, experts: number): Promise<RecordedChoices> {
  const reader = await openIntegers(recorded, "load counts [steps, experts]", (shape) => {
    if (shape.length > 2) return "expected [steps, experts] or [experts]";
    const columns = shape[shape.length - 1];
    return columns === experts ? null : `the file has ${columns} columns; expected one for each of ${experts} experts`;
  });
  const { file, rows: steps } = reader;
  const counts = new Float64Array(experts);
  const load = new Int32Array(experts);
  let step = 0;
  return {
    file,
    steps,
    experts,
    tokens: null,
    topK: null,
    async next() {
      if (step === steps) return null;
      if ((await reader.read(counts, 1)) === 0) throw new InputError(`${file}: truncated: it ends before step ${step}`);
      for (let expert = 0; expert < experts; expert++) {
        const count = counts[expert];
        if (!(Number.isInteger(count) && count >= 0 && count <= maxLoad)) {
          throw new InputError(
            `${file}: step ${step}, expert ${expert}: ${count} is not a load; expected an integer from 0 to ${maxLoad}`,
          );
        }
        load[expert] = count;
      }
      return { step: step++, tokens: null, load };
    },
    close: () => reader.close(),
  };
}

/** Opens `recorded`; throws for floats, and if `problemWith` finds something wrong with the shape. */
async function openIntegers(
  recorded: Source | string,
  what: string,
  problemWith: (shape: readonly number[]) => string | null,
): Promise<TensorReader> {
  const reader = await openTensor(recorded, {}, "integers");
  const { file, dtype, shape, kind } = reader;
  const problem = kind === "float" ? `${what} are integers; floats are logits, to be routed` : problemWith(shape);
  if (problem === null) return reader;
  await reader.close();
  throw new InputError(`${file}: ${dtype} ${shapeText(shape)}: ${problem}`);
}
