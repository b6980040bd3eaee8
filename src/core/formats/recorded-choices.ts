import { InputError } from "../input-error.ts";
import { createKernels } from "../kernels/index.ts";
import { platform } from "../platform.ts";
import { markDisabled } from "../token-batch.ts";
import { counted } from "../words.ts";
import { logitProblem } from "./messages.ts";
import { openPaddingMask, type PaddingMask } from "./padding-mask.ts";
import type { LayerReader, RecordedRows } from "./recorded-layer.ts";
import type { Recording } from "./recording.ts";

/** Maximum load in an `Int32Array`. */
const maxLoad = 2 ** 31 - 1;

/** Logits that a layer's reader returns at once, at most. */
const pieceValues = 1 << 16;

/** What a real model did in one step. */
export interface RecordedStep {
  /** Counted from 0. */
  readonly step: number;
  /** Tokens of the step, without padding; null if only loads were recorded. */
  readonly tokens: number | null;
  /** `[experts]`, (token, expert) pairs on each expert, or shares of all pairs. Overwritten by the next step. */
  readonly load: Int32Array | Float64Array;
}

/** Recorded choices or loads of one layer, step by step. */
export interface RecordedChoices {
  readonly file: string;
  readonly steps: number;
  readonly experts: number;
  /** Maximum tokens in a step; null if only loads were recorded. */
  readonly tokens: number | null;
  /** Slots per token; null if only loads were recorded. */
  readonly topK: number | null;
  /** Whether loads are shares of all pairs instead of counts. */
  readonly hasShares: boolean;
  /** Returns the next step, or null after the last. Throws `InputError` if the data is bad. */
  next(): Promise<RecordedStep | null>;
  /** Closes what was opened for this layer; not the recording. */
  close(): Promise<void>;
}

export interface ChoiceOptions {
  readonly experts: number;
  /** Experts per token, for logits: plain top-k chooses them. */
  readonly topK?: number | undefined;
  /** Tokens per step, if the files have no steps; default: all. */
  readonly batchTokens?: number | undefined;
  /** File that marks padding among the tokens of every layer, see {@link openPaddingMask}. */
  readonly paddingMask?: string | undefined;
}

/**
 * Returns a function that opens a layer of a recording as the loads of each step: counted from choices, in which −1 is no
 * expert and a row of −1 no token, as are those that `paddingMask` marks; as they are; or of the experts with the K largest logits of each token, ties to the lowest.
 * Throws `InputError` if there are more slots than experts, and, when a layer is read, with token (within the layer, from 0)
 * and slot, if a value is not an expert or a token has an expert twice; with step and expert if a load is no count; with step,
 * token and expert if a logit is NaN or +∞.
 *
 * In files with layers, a token with K times expert 0, K > 1, has no expert: so engines fill the layers without experts, and
 * tokens whose experts were not recorded.
 */
export function choicesByLayer(recording: Recording, options: ChoiceOptions): (id: number) => RecordedChoices {
  const { name, holds, hasShares } = recording;
  const { experts, batchTokens, paddingMask } = options;
  if (paddingMask !== undefined && holds === "loads")
    throw new InputError(`${name}: a padding mask is one of tokens, and loads have none; leave it out`);
  let count: CountTopK | null = null;
  if (holds === "balancedness") throw new InputError(`${name}: a log of balancedness has no loads of experts`);
  const topK = holds === "selections" ? recording.topK : holds === "logits" ? (options.topK ?? null) : null;
  if (holds === "logits" && topK === null)
    throw new InputError(`${name}: logits are measured by top-k; say how many experts per token`);
  if (topK !== null && topK > experts) {
    throw new InputError(
      `${name}: ${counted(topK, "expert")} per token, but it has only ${counted(experts, "expert")}`,
    );
  }
  return (id) => {
    const reader = recording.layer(id, batchTokens);
    const common = { file: name, steps: reader.steps, experts, tokens: reader.tokens, topK, hasShares };
    const mask = paddingMask === undefined ? null : maskReader(paddingMask, reader);
    const close = async () => mask?.close();
    if (holds === "loads") return { ...common, next: () => nextLoads(name, reader, experts, hasShares), close };
    if (holds === "selections") return { ...common, next: countSelections(recording, reader, experts, mask), close };
    count ??= topKCounter(experts, topK!, reader.columns);
    return { ...common, next: countLogits(name, reader, experts, count, mask), close };
  };
}

async function nextLoads(
  name: string,
  reader: LayerReader,
  experts: number,
  hasShares: boolean,
): Promise<RecordedStep | null> {
  const piece = await reader.next();
  if (piece === null) return null;
  const { step, values } = piece;
  for (let expert = 0; expert < experts; expert++) {
    const count = values[expert];
    if (hasShares ? count >= 0 : Number.isInteger(count) && count >= 0 && count <= maxLoad) continue;
    throw new InputError(
      `${name}: ${placeOf(reader)}step ${step}, expert ${expert}: ${count} is not a load; expected ${hasShares ? "a share ≥ 0" : `an integer from 0 to ${maxLoad}`}`,
    );
  }
  const load = hasShares
    ? Float64Array.from(values.subarray(0, experts))
    : Int32Array.from(values.subarray(0, experts));
  return { step, tokens: null, load };
}

/** The padding among the rows of one layer. */
export interface MaskReader {
  /** Returns the flags of the next `rows` rows, 1 for padding; overwritten by the next. */
  next(rows: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Opens the mask, one value for each row of the recorded layer, also for those that are skipped, when it is first read. */
export function maskReader(file: string, { rows: kept, skippedRows }: LayerReader): MaskReader {
  let mask: PaddingMask | null = null;
  let isPadding = new Uint8Array(0);
  return {
    async next(rows) {
      if (mask === null) {
        mask = await openPaddingMask(await platform().open(file), skippedRows + kept);
        await mask.read(new Uint8Array(skippedRows), skippedRows);
      }
      if (isPadding.length < rows) isPadding = new Uint8Array(rows);
      await mask.read(isPadding, rows);
      return isPadding;
    },
    close: async () => mask?.close(),
  };
}

/** Returns the layer for a message; nothing for files without layers, all of which have layer 0. */
export function placeOf({ id }: LayerReader): string {
  return id === 0 ? "" : `layer ${id}, `;
}

function countSelections(
  { name, hasLayers }: Recording,
  reader: LayerReader,
  experts: number,
  mask: MaskReader | null,
): RecordedChoices["next"] {
  const { columns: slots } = reader;
  const load = new Int32Array(experts);
  /** `[experts]`, the last token that chose each expert. */
  const lastToken = new Float64Array(experts).fill(-1);
  let token = 0;

  /** Counts the choices of some tokens, and returns how many of these are none. */
  function countPiece({ rows, values }: RecordedRows, isPadding: Uint8Array | null): number {
    let padding = 0;
    for (let row = 0; row < rows; row++, token++) {
      const choice = values.subarray(row * slots, (row + 1) * slots);
      if (
        isPadding?.[row] === 1 ||
        choice.every((expert) => expert === -1) ||
        (hasLayers && slots > 1 && choice.every((expert) => expert === 0))
      ) {
        padding++;
        continue;
      }
      for (let slot = 0; slot < slots; slot++) {
        const expert = choice[slot];
        if (expert === -1) continue;
        if (!(Number.isInteger(expert) && expert >= 0 && expert < experts)) {
          throw new InputError(
            `${name}: ${placeOf(reader)}token ${token}, slot ${slot}: ${expert} is not an expert; expected an integer from 0 to ` +
              `${experts - 1}, or −1 for none`,
          );
        }
        if (lastToken[expert] === token) {
          throw new InputError(
            `${name}: ${placeOf(reader)}token ${token}, slot ${slot}: expert ${expert} appears twice; a token's experts must be distinct`,
          );
        }
        lastToken[expert] = token;
        load[expert]++;
      }
    }
    return padding;
  }

  return async () => {
    load.fill(0);
    let tokens = 0;
    for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
      tokens += piece.rows - countPiece(piece, (await mask?.next(piece.rows)) ?? null);
      if (piece.endsStep) return { step: piece.step, tokens, load };
    }
    return null;
  };
}

/** Adds the loads of the top-k of `rows` tokens' logits. */
type CountTopK = (piece: RecordedRows, load: Int32Array) => void;

function topKCounter(experts: number, topK: number, columns: number): CountTopK {
  const kernels = createKernels();
  const most = Math.max(1, Math.floor(pieceValues / Math.max(1, columns)));
  const logits = kernels.allocateFloat32(most * experts);
  const expert = kernels.allocateInt32(most * topK);
  const own = kernels.allocateInt32(experts);
  return ({ rows, values }, load) => {
    logits.set(values.subarray(0, rows * experts));
    markDisabled(logits, rows * experts);
    kernels.selectTopK(logits, "logits", null, rows, experts, topK, expert, own);
    for (let e = 0; e < experts; e++) load[e] += own[e];
  };
}

function countLogits(
  name: string,
  reader: LayerReader,
  experts: number,
  count: CountTopK,
  mask: MaskReader | null,
): RecordedChoices["next"] {
  const load = new Int32Array(experts);
  return async () => {
    load.fill(0);
    let tokens = 0;
    /** Rows of the step, including padding. */
    let seen = 0;
    for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
      const { step, rows, values } = piece;
      const isPadding = (await mask?.next(rows)) ?? null;
      let real = 0;
      for (let row = 0; row < rows && isPadding !== null; row++) {
        if (isPadding[row] === 1) values.fill(Number.NEGATIVE_INFINITY, row * experts, (row + 1) * experts);
        else real += 1;
      }
      for (let i = 0; i < rows * experts; i++) {
        if (values[i] < Number.POSITIVE_INFINITY) continue;
        throw new InputError(
          `${name}: ${placeOf(reader)}the logit of step ${step}, token ${seen + Math.floor(i / experts)} of that step, expert ` +
            `${i % experts} is ${logitProblem(values[i])}`,
        );
      }
      // Every expert is disabled for padding, which thus gets none.
      count(piece, load);
      tokens += isPadding === null ? rows : real;
      seen += rows;
      if (piece.endsStep) return { step, tokens, load };
    }
    return null;
  };
}

/**
 * Returns the largest expert of any choice, plus one: the least number of experts that a model with these choices has.
 *
 * @param batchTokens tokens per step, if the files have no steps but some are skipped
 */
export async function leastExperts(recording: Recording, batchTokens?: number): Promise<number> {
  let most = -1;
  for (const id of recording.layers) {
    const reader = recording.layer(id, batchTokens);
    for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
      for (let i = 0; i < piece.rows * reader.columns; i++) if (piece.values[i] > most) most = piece.values[i];
    }
  }
  return most + 1;
}

/**
 * Compares the recorded choices of a recording with the K largest of the logits beside them, over all layers. Returns the number
 * of pairs, and of those that top-k would not have chosen; null if there are no logits beside. They differ where logits were
 * rounded when they were written, and where the model added a bias.
 */
export async function compareWithLogits(recording: Recording): Promise<{ pairs: number; differing: number } | null> {
  const { beside, topK } = recording;
  if (beside === null || beside.holds !== "logits" || recording.holds !== "selections" || topK === null) return null;
  const experts = beside.experts!;
  const kernels = createKernels();
  const most = Math.max(1, Math.floor(pieceValues / experts));
  const copied = kernels.allocateFloat32(most * experts);
  const selected = kernels.allocateInt32(most * topK);
  const load = kernels.allocateInt32(experts);
  let [pairs, differing] = [0, 0];
  for (const id of recording.layers.filter((layer) => beside.layers.includes(layer))) {
    const logits = beside.layer(id);
    const nextChoice = rowByRow(recording.layer(id));
    for (let piece = await logits.next(); piece !== null; piece = await logits.next()) {
      copied.set(piece.values.subarray(0, piece.rows * experts));
      markDisabled(copied, piece.rows * experts);
      kernels.selectTopK(copied, "logits", null, piece.rows, experts, topK, selected, load);
      for (let row = 0; row < piece.rows; row++) {
        const choice = await nextChoice();
        if (choice === null) break;
        const own = selected.subarray(row * topK, (row + 1) * topK);
        for (const expert of choice) {
          if (expert < 0) continue;
          pairs += 1;
          if (!own.includes(expert)) differing += 1;
        }
      }
    }
  }
  return { pairs, differing };
}

/** Returns a function that returns the next row of a layer, or null after the last. */
function rowByRow(reader: LayerReader): () => Promise<RecordedRows["values"] | null> {
  let piece: RecordedRows | null = null;
  let row = 0;
  return async () => {
    if (piece === null || row === piece.rows) {
      piece = await reader.next();
      row = 0;
    }
    if (piece === null) return null;
    row += 1;
    return piece.values.subarray((row - 1) * reader.columns, row * reader.columns);
  };
}
