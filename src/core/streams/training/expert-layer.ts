import type { Rank, Tensor2D, Variable } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";
import { multiply } from "./custom-gradient.ts";
import { combine, type Dispatch } from "./dispatch.ts";
import { lookUp } from "./lookup.ts";
import type { CreateParameter } from "./parameters.ts";

/** A layer of experts, a few of which each token uses. Token vectors have the same `width` before and after it. */
export interface ExpertLayer {
  /** W `[width × experts]`. */
  readonly gateWeights: Variable;
  /** Z = X·W `[tokens × experts]` of token vectors X `[tokens × width]`. */
  logits(tokens: Tensor2D): Tensor2D;
  /** Σ over a token's pairs of gate · expert(x) `[tokens × width]`; `gates` `[1 × slots]`. */
  output(tokens: Tensor2D, dispatch: Dispatch, gates: Tensor2D): Tensor2D;
  /** The mean over pairs of experts of the cosine between their outputs on `tokens`; 1 for a single expert. */
  similarity(tokens: Tensor2D): number;
}

export interface ExpertLayerShape {
  readonly width: number;
  /** Hidden units of each expert. */
  readonly hidden: number;
  readonly experts: number;
}

/**
 * A sparse mixture of experts: a linear gate and two-layer experts,
 *
 *     Z      = X·W
 *     y_t    = Σ_k gate_tk · E_{expert_tk}(x_t),    E_e(x) = relu(x·A_e + a_e)·B_e + b_e
 *
 * with experts and gates from the router under test. An expert computes only its own tokens.
 *
 * Source: Shazeer et al. 2017, arXiv 1701.06538, eq. 1; Fedus et al. 2021, arXiv 2101.03961, section 2.1.
 */
export function createExpertLayer(
  tf: Tensors,
  { width, hidden, experts }: ExpertLayerShape,
  createParameter: CreateParameter,
): ExpertLayer {
  const gateWeights = createParameter<Rank.R2>("gate", [width, experts], 1 / Math.sqrt(width));
  const layers = Array.from({ length: experts }, (_, e) => ({
    into: createParameter<Rank.R2>(`expert ${e}/into`, [width, hidden], Math.sqrt(2 / width)),
    intoOffset: createParameter<Rank.R1>(`expert ${e}/into offset`, [hidden], 0),
    outOf: createParameter<Rank.R2>(`expert ${e}/out of`, [hidden, width], 1 / Math.sqrt(hidden)),
    outOfOffset: createParameter<Rank.R1>(`expert ${e}/out of offset`, [width], 0),
  }));

  function expert(e: number, tokens: Tensor2D): Tensor2D {
    const { into, intoOffset, outOf, outOfOffset } = layers[e];
    const inner = tf.relu(tf.add(multiply(tf, tokens, into), intoOffset)) as Tensor2D;
    return tf.add(multiply(tf, inner, outOf), outOfOffset);
  }

  return {
    gateWeights,
    logits: (tokens) => multiply(tf, tokens, gateWeights),
    output(tokens, dispatch, gates) {
      const { tokensOf } = dispatch;
      const busy = Array.from(tokensOf.keys()).filter((e) => tokensOf[e].length > 0);
      const outputs = busy.map((e) => expert(e, lookUp(tf, tokens, tokensOf[e])));
      return combine(tf, dispatch, width, gates, busy, outputs);
    },
    similarity: (tokens) => meanCosine(layers.map((_, e) => expert(e, tokens).dataSync() as Float32Array)),
  };
}

/** Mean cosine over pairs of `vectors`; a zero vector has cosine 0 with any other. 1 for a single vector. */
function meanCosine(vectors: readonly Float32Array[]): number {
  const count = vectors.length;
  if (count === 1) return 1;
  // With unit vectors u, Σ over pairs of ⟨u_i, u_j⟩ is (‖Σ u‖² − Σ ‖u‖²) / 2.
  const sum = new Float64Array(vectors[0].length);
  let unitVectors = 0;
  for (const vector of vectors) {
    const norm = Math.sqrt(sumOfSquares(vector));
    if (norm === 0) continue;
    unitVectors += 1;
    for (let i = 0; i < vector.length; i++) sum[i] += vector[i] / norm;
  }
  return (sumOfSquares(sum) - unitVectors) / (count * (count - 1));
}

function sumOfSquares(values: Float32Array | Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value ** 2;
  return sum;
}
