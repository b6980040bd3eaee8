import { z } from "zod";
import type { Assignment } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { RandomSource } from "../random.ts";
import type { TokenBatch } from "../token-batch.ts";
import type { Evaluation, GateBackward, TrainingStep } from "../training-step.ts";

/** The sizes of a stream. */
export interface StreamShape {
  readonly steps: number;
  /** Maximum tokens in a batch; only the last batch of a recorded file may hold fewer. */
  readonly tokens: number;
  readonly experts: number;
  /** Experts per token that routers choose, if it is known; needed only by streams that are made for plain top-k. */
  readonly topK?: number | undefined;
  /** For recorded data with layers: the model's ids of those that are read, rising. */
  readonly layers?: readonly number[] | undefined;
  /** Ids of layers that were asked for and have no logits, such as dense ones. */
  readonly absentLayers?: readonly number[] | undefined;
  /** Why recorded data may not be logits, a sentence each. */
  readonly warnings?: readonly string[] | undefined;
}

/** Maximum layers of a synthetic stream. */
const mostLayers = 1024;

/** Option of synthetic streams. A scenario simulates the layers one by one; each has a stream of its own. */
export const layersOption = z
  .int()
  .min(1)
  .max(mostLayers)
  .optional()
  .describe(
    "Layers of the model, 0, 1, …, each with a gate and random numbers of its own; the first is that of a stream of one " +
      "layer. Default: 1.",
  );

/** Everything that a stream must remember between batches: JSON data, and arrays by name. */
export interface StreamState {
  readonly fields: { readonly [field: string]: unknown };
  readonly arrays: { readonly [name: string]: Float32Array };
}

/** A source of batches. The batch's array is allocated once and overwritten by the next call. */
export interface Stream {
  /** Returns the next batch, or null after the last. Throws `InputError` if recorded data is bad. */
  next(): Promise<TokenBatch | null>;
  /**
   * Skips the next batch, which must exist: does what `next` does, but without computing logits. Only streams that skip
   * much faster have it.
   */
  skip?(): void;
  /** Takes the router's load `[experts]` on the last batch; only kinds with `feedback: "load"` have it. */
  observe?(load: Int32Array): void;
  /**
   * Trains on the last batch, routed by `assignment`, without the pairs that a capacity policy dropped; `backward` is
   * the router's. Called once after each `next`; only kinds with `feedback: "training"` have it.
   */
  learn?(assignment: Assignment, backward: GateBackward): TrainingStep;
  /**
   * Evaluates on held-back data, which `route` routes as at inference. Called once after each `learn`, and changes nothing
   * that later steps depend on; returns null on steps without evaluation. Only streams of a kind whose `evaluatedTokens`
   * is not null have it.
   */
  evaluate?(route: (batch: TokenBatch) => Assignment): Evaluation | null;
  /**
   * Everything that the next batches depend on, to resume from; only kinds with `feedback` have it. Any other stream
   * returns the same batches when it is opened again.
   */
  state?(): StreamState;
  restore?(state: StreamState): void;
  close(): Promise<void>;
}

export interface StreamContext {
  /** Sizes that the scenario asks for; for recorded data, those that `shape()` found. */
  readonly shape: StreamShape;
  readonly kernels: Kernels;
  readonly random: RandomSource;
  /** Id of the layer whose batches to return; absent for data without layers. */
  readonly layer?: number | undefined;
  /** Folder that relative paths in the options are resolved against first; then the working directory. */
  readonly folder: string;
}

/** One kind of token stream, as the registry, the schema, `list` and the docs know it. */
export interface StreamKind<Options = unknown> {
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  /**
   * A strict zod object; each field has a `.describe()`, and a default if one makes sense. A kind that can have several
   * layers takes {@link layersOption} as `layers`, or finds them in `shape()`.
   */
  readonly options: z.ZodObject;
  /**
   * What the batches depend on besides the seed or a file: the router's `load` on earlier batches (the streams have
   * `observe`), or the `training` of the gate together with the router (they have `learn`). Every router then gets its
   * own stream, which has `state` and `restore`. Absent for kinds whose batches are the same for every router.
   */
  readonly feedback?: "load" | "training";
  /**
   * Returns the number of held-back tokens that streams with these options evaluate on; null if they do not evaluate, and
   * absent for kinds that never do.
   */
  evaluatedTokens?(options: Options): number | null;
  /** Returns problems that depend on the shape, e.g. a shift after the last step. */
  check?(options: Options, shape: StreamShape): { path: readonly string[]; message: string }[];
  /**
   * For recorded data: returns the sizes that the file holds, from its header (or, for CSV, by one counting pass).
   * `wanted` are the sizes that the scenario names. Throws `InputError` if the file is unreadable or the sizes
   * disagree.
   */
  shape?(options: Options, wanted: Partial<StreamShape>, folder: string): Promise<StreamShape>;
  /**
   * Throws `InputError` if something else that the kind needs is missing: a file other than recorded data, or an
   * optional package. Called when a scenario is checked, before anything runs.
   */
  checkInput?(options: Options, folder: string): Promise<void>;
  create(context: StreamContext, options: Options): Promise<Stream>;
}

/** A kind whose type carries its name and its schema; the library's input types are made from these. */
export interface TypedStreamKind<Kind extends string, Schema extends z.ZodObject> extends StreamKind<z.output<Schema>> {
  readonly kind: Kind;
  readonly options: Schema;
}

/** Returns `kind` unchanged, typed by its name and its schema. */
export function defineStreamKind<const Kind extends string, Schema extends z.ZodObject>(
  kind: TypedStreamKind<Kind, Schema>,
): TypedStreamKind<Kind, Schema> {
  return kind;
}
