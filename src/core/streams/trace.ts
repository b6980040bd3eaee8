import { z } from "zod";
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
import { markDisabled } from "../token-batch.ts";
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
        "layers, [steps × layers × tokens × experts] or a tensor per layer; .csv or .parquet, one token per row. Relative " +
        "paths are resolved against the scenario's folder, then the working directory.",
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
 * loads have no logits to route again. CSV cells have no type and are read as logits.
 */
export const traceKind = defineStreamKind({
  kind: "trace",
  summary: "recorded router logits from a file of NumPy, PyTorch or another system",
  source: "recorded data",
  options: traceOptions,
  async shape(options, wanted, folder) {
    const logits = await openLogits(options, folder);
    try {
      return findShape(logits, options, wanted);
    } finally {
      await logits.close();
    }
  },
  async create({ shape, layer, folder, kernels }, options) {
    const file = await openLogits(options, folder);
    let found: StreamShape;
    let rows: LogitRows;
    try {
      found = findShape(file, options, shape);
      rows = file.open(layer ?? null);
    } catch (error) {
      await file.close();
      throw error;
    }
    const { steps, tokens: batchTokens, experts } = found;
    const logits = kernels.allocateFloat32(batchTokens * experts);
    const place = layer === undefined ? "" : `layer ${layer}, `;
    let step = 0;
    return {
      async next() {
        if (step === steps) return null;
        const tokens = await rows.read(logits, batchTokens);
        if (tokens === 0) throw new InputError(`${file.file}: truncated: it ends before ${place}step ${step}`);
        const hasDisabled = markDisabled(logits, tokens * experts);
        checkLogits(file.file, `${place}step ${step}`, logits, tokens, experts);
        return { step: step++, tokens, experts, logits, hasDisabled };
      },
      close: () => file.close(),
    };
  },
});

/** Opens the recorded file that the options name. */
async function openLogits(
  { path, tensor, column, axes, input }: TraceOptions,
  folder: string,
): Promise<RecordedLogits> {
  return openRecordedLogits(await platform().open(path, folder), { tensor, column, axes, input });
}

/**
 * Returns the stream's sizes: those of the file, cut as asked. Throws `InputError` if they differ from those wanted.
 */
function findShape(
  logits: RecordedLogits,
  { batchTokens, layers: selection }: TraceOptions,
  wanted: Partial<StreamShape>,
): StreamShape {
  const { file, description, experts } = logits;
  if (wanted.experts !== undefined && wanted.experts !== experts) {
    throw new InputError(`${file}: ${description} has ${experts} experts, but ${wanted.experts} are requested`);
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
      throw new InputError(`${file}: ${description} has ${tokens} tokens per step, but ${wanted.tokens} are requested`);
    }
  } else {
    const rows = logits.tokens;
    const named = batchTokens ?? wanted.tokens;
    if (named === undefined && rows > maxTokensUncut) {
      throw new InputError(
        `${file}: ${description} has ${rows} tokens; set batchTokens, since at most ${maxTokensUncut} make one step`,
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
      `${file}: a step of ${tokens} tokens × ${experts} experts is too large; at most ${maxBatchValues} logits are ` +
        "allowed in one step",
    );
  }
  const steps = wanted.steps ?? stepsHeld;
  if (steps > stepsHeld) {
    throw new InputError(
      `${file}: ${description} has ${stepsHeld} steps of ${tokens} tokens, but ${steps} are requested; allowed: ` +
        `1 to ${stepsHeld}`,
    );
  }
  return { steps, tokens, experts, ...selectLayers(logits, selection) };
}

function checkLogits(file: string, place: string, logits: Float32Array, tokens: number, experts: number): void {
  const values = tokens * experts;
  for (let i = 0; i < values; i++) {
    if (!(logits[i] < Number.POSITIVE_INFINITY)) {
      throw new InputError(
        `${file}: the logit of ${place}, token ${Math.floor(i / experts)} of that step, expert ${i % experts} is ` +
          `${logits[i]}; logits must be finite as float32, or -inf for a disabled expert`,
      );
    }
  }
}
