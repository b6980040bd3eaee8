import type { Assignment } from "../../assignment.ts";
import type { GateBackward } from "../../training-step.ts";
import type { ParameterBlock, ParameterStore } from "./parameters.ts";
import type { TaskBatch } from "./task.ts";
import type { TextTask } from "./text-task.ts";

export interface ModelShape {
  readonly width: number;
  /** Hidden units of each expert. */
  readonly hidden: number;
  readonly experts: number;
}

/** The text that a model reads, and how; null for a model of vectors. */
export interface TextShape {
  readonly vocabulary: TextTask["vocabulary"];
  readonly context: number;
  /** Numbers per token of the context. */
  readonly embedding: number;
}

/** Blocks of the parameters of a model. */
export interface ModelParameters {
  /** W `[width × experts]`. */
  readonly gate: ParameterBlock;
  /** Of each expert: A `[width × hidden]`, a `[hidden]`, B `[hidden × width]`, b `[width]`. They share their gradient. */
  readonly experts: readonly ParameterBlock[];
  /** Null for a model of vectors. */
  readonly text: {
    /** U `[vocabulary × embedding]`. */
    readonly embedding: ParameterBlock;
    /** V `[context · embedding × width]` and v `[width]`. */
    readonly into: ParameterBlock;
    /** O `[width × vocabulary]` and o `[vocabulary]`. */
    readonly outOf: ParameterBlock;
  } | null;
}

/** Creates the parameters of a model in `store`. They start from the same numbers for every router and backend. */
export function createModelParameters(
  store: ParameterStore,
  { width, hidden, experts }: ModelShape,
  text: TextShape | null,
): ModelParameters {
  const normal = (name: string, shape: readonly number[], deviation: number) => ({ name, shape, deviation });
  const zero = (name: string, length: number) => normal(name, [length], 0);
  const ends = text && {
    embedding: store.create([normal("embedding", [text.vocabulary, text.embedding], 1)]),
    into: store.create([
      normal("into", [text.context * text.embedding, width], 1 / Math.sqrt(text.context * text.embedding)),
      zero("into offset", width),
    ]),
    outOf: store.create([
      normal("out of", [width, text.vocabulary], 1 / Math.sqrt(width)),
      zero("out of offset", text.vocabulary),
    ]),
  };
  const gate = store.create([normal("gate", [width, experts], 1 / Math.sqrt(width))]);
  const blocks: ParameterBlock[] = [];
  for (let e = 0; e < experts; e++) {
    const choices = [
      normal(`expert ${e}/into`, [width, hidden], Math.sqrt(2 / width)),
      zero(`expert ${e}/into offset`, hidden),
      normal(`expert ${e}/out of`, [hidden, width], 1 / Math.sqrt(hidden)),
      zero(`expert ${e}/out of offset`, width),
    ];
    blocks.push(store.create(choices, blocks[0]));
  }
  return { gate, experts: blocks, text: ends };
}

/**
 * A sparse mixture of experts between the ends that its task needs,
 *
 *     Z   = x·W
 *     y_t = Σ_k gate_tk · E_{expert_tk}(x_t),    E_e(x) = relu(x·A_e + a_e)·B_e + b_e
 *
 * with experts and gates from the router under test. An expert computes only its own tokens. There are two
 * implementations: `createKernelModel` on the kernels, and `createTensorModel` on TensorFlow.js.
 *
 * Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 1; Fedus et al. 2021, arXiv 2101.03961, section 2.1.
 */
export interface Model {
  /** Prepares for `batch`, which holds other data after each `draw`. */
  open(batch: TaskBatch): ModelBatch;
  /** Call it after changing parameters from outside. */
  reload(): void;
  close(): void;
}

/** A batch in a model. Call the methods in their order; `logits` after each `draw`. */
export interface ModelBatch {
  /** Computes Z `[tokens × experts]`. */
  logits(): Float32Array;
  /**
   * Returns the mean over pairs of experts of the cosine between their outputs on the batch's first tokens; 1 for a single
   * expert. Needed after `logits` only.
   */
  similarity(): number;
  /** Returns the mean loss of the batch, routed by `assignment`. */
  loss(assignment: Assignment): number;
  /**
   * Moves all parameters along the gradient of the loss, as update number `count`, counted from 1. `backward` is that of the
   * router, with its own loss. Experts without tokens keep their parameters and their moments. If a result is not finite,
   * the parameters are lost.
   */
  learn(assignment: Assignment, backward: GateBackward, count: number): Learned;
}

/** What an update came to. */
export interface Learned {
  /** Mean loss of the batch, before the update. */
  readonly loss: number;
  /** Euclidean norm of ∂loss/∂W; see {@link gradientNorm}. */
  readonly gateGradientNorm: number;
}

/** Number of tokens, the first of a batch, that show how alike the experts are. */
export const comparedTokens = 32;

/** Collects the mean cosine between vectors, each a row of `length` numbers. */
export interface MeanCosine {
  reset(): void;
  /** Adds the vector at the start of `values`. */
  add(values: Float32Array): void;
  /** Mean cosine over pairs of the vectors; a zero vector has cosine 0 with any other. 1 for a single vector. */
  value(): number;
}

export function createMeanCosine(length: number): MeanCosine {
  // With unit vectors u, Σ over pairs of ⟨u_i, u_j⟩ is (‖Σ u‖² − Σ ‖u‖²) / 2.
  const sum = new Float64Array(length);
  let count = 0;
  let unitVectors = 0;
  return {
    reset() {
      sum.fill(0);
      count = 0;
      unitVectors = 0;
    },
    add(values) {
      count += 1;
      const norm = Math.sqrt(sumOfSquares(values, length));
      if (norm === 0) return;
      unitVectors += 1;
      for (let i = 0; i < length; i++) sum[i] += values[i] / norm;
    },
    value: () => (count === 1 ? 1 : (sumOfSquares(sum, length) - unitVectors) / (count * (count - 1))),
  };
}

/**
 * Returns the Euclidean norm of a gradient; +∞ if its square is too large for float32, since Adam's second moment then is
 * too.
 */
export function gradientNorm(gradient: Float32Array): number {
  return Math.sqrt(Math.fround(sumOfSquares(gradient, gradient.length)));
}

function sumOfSquares(values: Float32Array | Float64Array, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += values[i] * values[i];
  return sum;
}
