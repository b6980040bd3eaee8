import { z } from "zod";
import { openTensor } from "../formats/open-tensor.ts";
import { shapeText, type TensorReader } from "../formats/tensor-reader.ts";
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
      "Recorded logits: .npy or .safetensors, [steps × tokens × experts] or [tokens × experts]; .csv or .parquet, one " +
        "token per row. A CSV header of names is skipped; one of numbers is a token. Relative paths are resolved against " +
        "the scenario's folder, then the working directory.",
    ),
  batchTokens: z
    .int()
    .positive()
    .optional()
    .describe(
      "Tokens per step of a [tokens × experts] file; the last step may hold fewer. Default: the scenario's tokens; " +
        `without those, the whole file is one step, up to ${maxTokensUncut} tokens.`,
    ),
  tensor: z.string().optional().describe("Tensor in a .safetensors file; optional if the file holds only one."),
  column: z.string().optional().describe("List column in a .parquet file; optional if the file holds only one."),
});

export type TraceOptions = z.infer<typeof traceOptions>;

/**
 * Recorded router logits, read in pieces: memory holds one batch, whatever the size of the file.
 *
 *     [steps × tokens × experts]   one batch per step
 *     [tokens × experts]           cut into batches of `batchTokens`; the last one may be shorter
 *
 * `steps` in the scenario may be fewer than in the file; the rest is not read. float64 logits are rounded to float32.
 * −∞, and anything below −1e30, disables the expert for the token. NaN and +∞ throw `InputError` when their batch is
 * read, with step, token (within its batch) and expert, all counted from 0. Integers are refused: recorded choices and
 * loads have no logits to route again. CSV cells have no type and are read as logits.
 */
export const traceKind = defineStreamKind({
  kind: "trace",
  summary: "recorded router logits from a .npy, .csv, .parquet or .safetensors file",
  source: "recorded data",
  options: traceOptions,
  async shape(options, wanted, folder) {
    const reader = await openLogits(options, folder);
    try {
      return findShape(reader, options.batchTokens, wanted);
    } finally {
      await reader.close();
    }
  },
  async create({ shape, folder, kernels }, options) {
    const reader = await openLogits(options, folder);
    let found: StreamShape;
    try {
      found = findShape(reader, options.batchTokens, shape);
    } catch (error) {
      await reader.close();
      throw error;
    }
    const { steps, tokens: batchTokens, experts } = found;
    const logits = kernels.allocateFloat32(batchTokens * experts);
    let step = 0;
    return {
      async next() {
        if (step === steps) return null;
        const tokens = await reader.read(logits, batchTokens);
        if (tokens === 0) throw new InputError(`${reader.file}: truncated: it ends before step ${step}`);
        const hasDisabled = markDisabled(logits, tokens * experts);
        checkLogits(reader.file, logits, step, tokens, experts);
        return { step: step++, tokens, experts, logits, hasDisabled };
      },
      close: () => reader.close(),
    };
  },
});

async function openLogits({ path, tensor, column }: TraceOptions, folder: string): Promise<TensorReader> {
  const reader = await openTensor(await platform().open(path, folder), { tensor, column });
  const { file, shape, dtype, kind } = reader;
  let problem: string | null = null;
  if (kind === "integer") {
    problem =
      `${dtype} ${shapeText(shape)} holds recorded choices or loads, not logits, and cannot be routed again; use ` +
      "`moesim measure` for them. Logits are floats";
  } else if (shape.length === 1) {
    problem = `the shape [${shape[0]}] has 1 dimension; expected [steps, tokens, experts] or [tokens, experts]`;
  }
  if (problem === null) return reader;
  await reader.close();
  throw new InputError(`${file}: ${problem}`);
}

/**
 * Returns the stream's sizes: those of the file, cut as asked. Throws `InputError` if they differ from those wanted.
 */
function findShape(reader: TensorReader, batchTokens: number | undefined, wanted: Partial<StreamShape>): StreamShape {
  const { file, shape, rows, columns: experts } = reader;
  const printed = shapeText(shape);
  if (wanted.experts !== undefined && wanted.experts !== experts) {
    throw new InputError(`${file}: ${printed} has ${experts} experts, but ${wanted.experts} are requested`);
  }
  let tokens: number;
  if (shape.length === 3) {
    tokens = shape[1];
    if (batchTokens !== undefined) {
      throw new InputError(`${file}: remove batchTokens, which cuts [tokens, experts] files; ${printed} has steps`);
    }
    if (wanted.tokens !== undefined && wanted.tokens !== tokens) {
      throw new InputError(`${file}: ${printed} has ${tokens} tokens per step, but ${wanted.tokens} are requested`);
    }
  } else {
    const named = batchTokens ?? wanted.tokens;
    if (named === undefined && rows > maxTokensUncut) {
      throw new InputError(
        `${file}: ${printed} has ${rows} tokens; set batchTokens, since at most ${maxTokensUncut} make one step`,
      );
    }
    tokens = Math.min(named ?? rows, rows);
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
  const stepsHeld = Math.ceil(rows / tokens);
  const steps = wanted.steps ?? stepsHeld;
  if (steps > stepsHeld) {
    throw new InputError(
      `${file}: ${printed} has ${stepsHeld} steps of ${tokens} tokens, but ${steps} are requested; allowed: ` +
        `1 to ${stepsHeld}`,
    );
  }
  return { steps, tokens, experts };
}

function checkLogits(file: string, logits: Float32Array, step: number, tokens: number, experts: number): void {
  const values = tokens * experts;
  for (let i = 0; i < values; i++) {
    if (!(logits[i] < Number.POSITIVE_INFINITY)) {
      throw new InputError(
        `${file}: the logit of step ${step}, token ${Math.floor(i / experts)} of that step, expert ${i % experts} is ` +
          `${logits[i]}; logits must be finite as float32, or -inf for a disabled expert`,
      );
    }
  }
}
