import type { z } from "zod";
import type { Assignment } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { RandomSource } from "../random.ts";
import type { TokenBatch } from "../token-batch.ts";
import type { GateBackward, TrainingStep } from "../training-step.ts";

/** The sizes of a stream. */
export interface StreamShape {
  readonly steps: number;
  /** The most tokens a batch holds; only the last batch of a recorded file may hold fewer. */
  readonly tokens: number;
  readonly experts: number;
}

/** Everything a stream must remember between batches: what is JSON, and arrays by name. */
export interface StreamState {
  readonly fields: { readonly [field: string]: unknown };
  readonly arrays: { readonly [name: string]: Float32Array };
}

/** A source of batches. The batch's array is allocated once and overwritten by the next call. */
export interface Stream {
  /** The next batch, or null after the last. Throws `InputError` when recorded data is bad. */
  next(): Promise<TokenBatch | null>;
  /**
   * Goes past the next batch, of which there must be one, as `next` does but without its logits; only streams that are
   * much faster so.
   */
  skip?(): void;
  /** Takes the router's load `[experts]` on the last batch; only streams of kinds with `feedback: "load"` have it. */
  observe?(load: Int32Array): void;
  /**
   * Trains on the last batch, routed as `assignment` says, without the pairs that a capacity policy dropped; `backward`
   * is the router's. Called once after each `next`; only streams of kinds with `feedback: "training"` have it.
   */
  learn?(assignment: Assignment, backward: GateBackward): TrainingStep;
  /**
   * All that the next batches depend on, to resume from; only streams of kinds with `feedback` have it. Any other stream
   * returns the same batches again if it is opened again.
   */
  state?(): StreamState;
  restore?(state: StreamState): void;
  close(): Promise<void>;
}

export interface StreamContext {
  /** Sizes the scenario asks for. For recorded data, as found by `shape()`. */
  readonly shape: StreamShape;
  readonly kernels: Kernels;
  readonly random: RandomSource;
  /** Folder that relative paths in the options are resolved against first; then the working directory. */
  readonly folder: string;
}

/** One kind of token stream, as the registry, the schema, `list` and the docs know it. */
export interface StreamKind<Options = unknown> {
  readonly kind: string;
  readonly summary: string;
  readonly source: string;
  /** A strict zod object; each field has a default where one makes sense and a `.describe()`. */
  readonly options: z.ZodObject;
  /**
   * What its batches depend on besides the seed or a file: the router's `load` on earlier batches (its streams have
   * `observe`), or the `training` of its gate behind the router (they have `learn`). Then every router gets a stream of its
   * own, which has `state` and `restore`. Absent for kinds whose batches are the same for every router.
   */
  readonly feedback?: "load" | "training";
  /** Problems that only show against the shape, e.g. a shift after the last step. */
  check?(options: Options, shape: StreamShape): { path: readonly string[]; message: string }[];
  /**
   * For recorded data: the sizes the file holds, from its header (or, for CSV, one counting pass). `wanted` are the sizes the
   * scenario names. Throws `InputError` when the file is unreadable or the sizes do not agree.
   */
  shape?(options: Options, wanted: Partial<StreamShape>, folder: string): Promise<StreamShape>;
  /**
   * Throws `InputError` if something else that the kind needs is missing: a file beside recorded data, or an optional
   * package. Called when a scenario is checked, before anything runs.
   */
  checkInput?(options: Options, folder: string): Promise<void>;
  create(context: StreamContext, options: Options): Promise<Stream>;
}

/** A kind whose type knows its name and its schema, from which the types of the library's inputs are made. */
export interface TypedStreamKind<Kind extends string, Schema extends z.ZodObject> extends StreamKind<z.output<Schema>> {
  readonly kind: Kind;
  readonly options: Schema;
}

/** `kind` as it is, typed by its name and its schema. */
export function defineStreamKind<const Kind extends string, Schema extends z.ZodObject>(
  kind: TypedStreamKind<Kind, Schema>,
): TypedStreamKind<Kind, Schema> {
  return kind;
}
