import { z } from "zod";
import { logitProblem } from "../formats/messages.ts";
import { openPaddingMask, type PaddingMask } from "../formats/padding-mask.ts";
import {
  type LogitRows,
  logitAxes,
  openRecordedLogits,
  type RecordedLogits,
  selectLayers,
} from "../formats/recorded-logits.ts";
import { inputKinds } from "../formats/recording.ts";
import { InputError } from "../input-error.ts";
import { platform } from "../platform.ts";
import { markDisabled, type TokenBatch } from "../token-batch.ts";
import { counted } from "../words.ts";
import { defineStreamKind, type StreamShape } from "./stream.ts";

/** A two-dimensional file of up to this many tokens is one batch unless the scenario says how to cut it. */
const maxTokensUncut = 65_536;
/** Maximum logits in one batch: 1 GiB as float32. */
const maxBatchValues = 2 ** 28;

const traceOptions = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe(
      "Recorded logits: .npy, .npz, .safetensors or .pt, [tokens × experts], [steps × tokens × experts] or, of several " +
        "layers, [steps × layers × tokens × experts] or a tensor per layer; .csv or .parquet, one token per row; a folder or " +
        "pattern of files that make one recording, such as the ranks of a Megatron-LM router trace. Relative paths are " +
        "resolved against the scenario's folder, then the working directory.",
    ),
  batchTokens: z
    .int()
    .positive()
    .optional()
    .describe(
      "Tokens per step of a file without steps; the last step may hold fewer. Default: the scenario's tokens; " +
        `without those, the whole file is one step, up to ${maxTokensUncut} tokens.`,
    ),
  axes: z
    .array(z.enum(logitAxes))
    .refine((axes) => new Set(axes).size === axes.length, "an axis is named twice")
    .optional()
    .describe(
      "What the file's dimensions count, in their order, ending with experts: [layers, tokens, experts]. Default: tokens, " +
        "experts; with 3 dimensions steps before them; with 4 steps and layers.",
    ),
  skip: z.int().min(0).optional().describe("Steps to leave out at the beginning, such as those of warm-up."),
  layers: z
    .array(z.union([z.int().min(0), z.string().regex(/^\d+-\d+$/, "must be a range of ids such as 10-20")]))
    .min(1)
    .optional()
    .describe("Ids of the layers to read: [0, 3, 10-20]. Default: all."),
  tensor: z
    .string()
    .optional()
    .describe(
      "Tensor of a file with several; optional if there is only one of logits, or one per layer. * stands for the layer's " +
        "id: layers.*.logits.",
    ),
  column: z
    .string()
    .optional()
    .describe("Column of a table; optional if it holds only one list, or one column per expert."),
  input: z
    .enum(inputKinds)
    .optional()
    .describe("What the numbers are: logits (default), or probabilities or their logarithms, which become logits."),
  paddingMask: z
    .string()
    .min(1)
    .optional()
    .describe(
      "File that says which tokens are padding, and so are left out: a boolean, 0 or 1 for each token, 1 for padding (an " +
        "attention mask is the other way round).",
    ),
});

export type TraceOptions = z.infer<typeof traceOptions>;

/**
 * Recorded router logits, read in pieces: memory holds one batch, whatever the size of the file.
 *
 *     [steps × tokens × experts]   one batch per step
 *     [tokens × experts]           cut into batches of `batchTokens`; the last one may be shorter
 *
 * A file can hold several layers: as one more dimension, or as a tensor each. A stream reads one of them.
 *
 * `steps` in the scenario may be fewer than in the file; the rest is not read. float64 logits are rounded to float32.
 * −∞, and anything below −1e30, disables the expert for the token. NaN and +∞ throw `InputError` when their batch is
 * read, with layer, step, token (within its batch) and expert, all counted from 0. Integers are refused: recorded choices and
 * loads have no logits to route again. CSV cells have no type: whole numbers beside ids of layers or positions are refused as well,
 * and others bring a warning, unless `input` says that they are logits.
 *
 * Tokens that `paddingMask` marks are cut out of their step after it was cut out of the file: the batch holds the other
 * tokens, in order, and their places in its `position`. Their logits are not looked at.
 */
export const traceKind = defineStreamKind({
  kind: "trace",
  summary: "recorded router logits from a file of NumPy, PyTorch or another system",
  source: "recorded data",
  options: traceOptions,
  async shape(options, wanted, folder) {
    const logits = await openLogits(options, folder);
    try {
      const found = findShape(logits, options, wanted);
      await (await openMask(options, folder, logits))?.close();
      return found;
    } finally {
      await logits.close();
    }
  },
  async create({ shape, layer, folder, kernels }, options) {
    const file = await openLogits(options, folder);
    let found: StreamShape;
    let rows: LogitRows;
    let mask: PaddingMask | null;
    try {
      found = findShape(file, options, shape);
      rows = file.open(layer ?? null);
      mask = await openMask(options, folder, file);
    } catch (error) {
      await file.close();
      throw error;
    }
    const { steps, tokens: batchTokens, experts } = found;
    const { skip = 0 } = options;
    const logits = kernels.allocateFloat32(batchTokens * experts);
    const place = layer === undefined ? "" : `layer ${layer}, `;
    const isPadding = new Uint8Array(mask === null ? 0 : batchTokens);
    const position = new Int32Array(isPadding.length);
    let step = 0;

    /** Returns the number of tokens that it read, with padding. */
    async function readStep(place: string): Promise<number> {
      const read = await rows.read(logits, batchTokens);
      if (read === 0) throw new InputError(`${file.file}: truncated: it ends before ${place}`);
      await mask?.read(isPadding, read);
      return read;
    }

    /** Moves the tokens that are no padding to the front, and returns their number. */
    function leavePaddingOut(tokens: number): number {
      let count = 0;
      for (let token = 0; token < tokens; token++) {
        if (isPadding[token] === 1) continue;
        logits.copyWithin(count * experts, token * experts, (token + 1) * experts);
        position[count++] = token;
      }
      return count;
    }

    return {
      async next() {
        if (step === steps) return null;
        for (let skipped = 0; step === 0 && skipped < skip; skipped++)
          await readStep(`${place}skipped step ${skipped}`);
        const read = await readStep(`${place}step ${step}`);
        const tokens = mask === null ? read : leavePaddingOut(read);
        const hasDisabled = markDisabled(logits, tokens * experts);
        const batch = { step, tokens, experts, logits, hasDisabled, ...(mask !== null && { position }) };
        checkLogits(file.file, `${place}step ${step}`, batch);
        step += 1;
        return batch;
      },
      async close() {
        await file.close();
        await mask?.close();
      },
    };
  },
});

/** Opens the padding mask of a recording, one for all of its layers; null if there is none. */
async function openMask(
  { paddingMask }: TraceOptions,
  folder: string,
  { rows }: RecordedLogits,
): Promise<PaddingMask | null> {
  return paddingMask === undefined ? null : openPaddingMask(await platform().open(paddingMask, folder), rows);
}

/** Opens the recorded files that the options name. */
async function openLogits(
  { path, tensor, column, axes, input }: TraceOptions,
  folder: string,
): Promise<RecordedLogits> {
  return openRecordedLogits(await platform().openAll(path, folder), { tensor, column, axes, input });
}

/**
 * Returns the stream's sizes: those of the file, cut as asked. Throws `InputError` if they differ from those wanted.
 */
function findShape(
  logits: RecordedLogits,
  { batchTokens, skip = 0, layers: selection }: TraceOptions,
  wanted: Partial<StreamShape>,
): StreamShape {
  const { file, description, experts } = logits;
  if (wanted.experts !== undefined && wanted.experts !== experts) {
    throw new InputError(
      `${file}: ${description} has ${counted(experts, "expert")}, but ${wanted.experts} are requested`,
    );
  }
  let tokens: number;
  let stepsHeld: number;
  if (logits.steps !== null) {
    stepsHeld = logits.steps;
    tokens = logits.tokens;
    if (batchTokens !== undefined) {
      throw new InputError(`${file}: remove batchTokens, which cuts files without steps; ${description} has steps`);
    }
    if (wanted.tokens !== undefined && wanted.tokens !== tokens) {
      throw new InputError(
        `${file}: ${description} has ${counted(tokens, "token")} per step, but ${wanted.tokens} are requested`,
      );
    }
  } else {
    const rows = logits.tokens;
    const named = batchTokens ?? wanted.tokens;
    if (named === undefined && rows > maxTokensUncut) {
      throw new InputError(
        `${file}: ${description} has ${counted(rows, "token")}; set batchTokens, since at most ${maxTokensUncut} make one step`,
      );
    }
    tokens = Math.min(named ?? rows, rows);
    stepsHeld = Math.ceil(rows / tokens);
    if (wanted.tokens !== undefined && Math.min(wanted.tokens, rows) !== tokens) {
      throw new InputError(
        `${file}: batchTokens ${batchTokens} and tokens ${wanted.tokens} disagree; remove one, or make them equal`,
      );
    }
  }
  if (tokens * experts > maxBatchValues) {
    throw new InputError(
      `${file}: a step of ${counted(tokens, "token")} × ${counted(experts, "expert")} is too large; at most ${maxBatchValues} logits are ` +
        "allowed in one step",
    );
  }
  if (skip >= stepsHeld) {
    throw new InputError(`${file}: skip: ${skip} leaves none of the ${counted(stepsHeld, "step")} of ${description}`);
  }
  const steps = wanted.steps ?? stepsHeld - skip;
  if (steps > stepsHeld - skip) {
    throw new InputError(
      `${file}: ${description} has ${counted(stepsHeld, "step")} of ${counted(tokens, "token")}${skip === 0 ? "" : `, of which ${skip} are skipped`}, ` +
        `but ${steps} are requested; allowed: 1 to ${stepsHeld - skip}`,
    );
  }
  const warnings = logits.warnings.map((warning) => `${file}: ${warning}`);
  return { steps, tokens, experts, ...selectLayers(logits, selection), ...(warnings.length > 0 && { warnings }) };
}

function checkLogits(file: string, place: string, { logits, tokens, experts, position }: TokenBatch): void {
  const values = tokens * experts;
  for (let i = 0; i < values; i++) {
    if (!(logits[i] < Number.POSITIVE_INFINITY)) {
      const row = Math.floor(i / experts);
      throw new InputError(
        `${file}: the logit of ${place}, token ${position?.[row] ?? row} of that step, expert ${i % experts} is ` +
          logitProblem(logits[i]),
      );
    }
  }
}
