import type { ScoreKind } from "../../assignment.ts";

/** Carries ∂loss/∂S, the affinities', back to the logits Z, a token at a time. */
export interface ScoreGradient {
  /** `[experts]`, ∂loss/∂S of the token that is added next; all zero before and after. */
  readonly ofScores: Float64Array;
  /** Adds ∂loss/∂Z to the token's entries of `logitGradient` `[tokens × experts]`; `row` is the first of them. */
  addRow(logits: Float32Array, row: number, logitGradient: Float32Array): void;
}

/**
 * With d = ∂loss/∂S of a token,
 *
 *     softmax:  ∂loss/∂Z_j = S_j·(d_j − Σ_e d_e·S_e)      of all its experts
 *     sigmoid:  ∂loss/∂Z_j = d_j·S_j·(1 − S_j)
 *
 * in float64, from the logits, so that 1 − S keeps its precision where S is nearly 1.
 */
export function createScoreGradient(experts: number, scores: ScoreKind): ScoreGradient {
  const ofScores = new Float64Array(experts);
  const weight = new Float64Array(experts);

  function addSigmoids(logits: Float32Array, row: number, logitGradient: Float32Array): void {
    for (let e = 0; e < experts; e++) {
      if (ofScores[e] === 0) continue;
      const small = Math.exp(-Math.abs(logits[row + e]));
      logitGradient[row + e] += (ofScores[e] * small) / (1 + small) ** 2;
    }
  }

  function addSoftmax(logits: Float32Array, row: number, logitGradient: Float32Array): void {
    let largest = Number.NEGATIVE_INFINITY;
    for (let e = 0; e < experts; e++) largest = Math.max(largest, logits[row + e]);
    let sum = 0;
    let weighted = 0;
    for (let e = 0; e < experts; e++) {
      weight[e] = Math.exp(logits[row + e] - largest);
      sum += weight[e];
      weighted += weight[e] * ofScores[e];
    }
    const mean = weighted / sum;
    for (let e = 0; e < experts; e++) logitGradient[row + e] += (weight[e] / sum) * (ofScores[e] - mean);
  }

  const add = scores === "sigmoid" ? addSigmoids : addSoftmax;
  return {
    ofScores,
    addRow(logits, row, logitGradient) {
      add(logits, row, logitGradient);
      ofScores.fill(0);
    },
  };
}
