import type { ScoreKind } from "../../assignment.ts";
import { softplus, softplusTail } from "../../kernels/reference/affinity.ts";

/** Propagates ∂loss/∂S of the affinities to the logits Z, one token at a time. */
export interface ScoreGradient {
  /** `[experts]`, ∂loss/∂S of the next token to add; all zero before and after. */
  readonly ofScores: Float64Array;
  /** Adds ∂loss/∂Z to the token's entries of `logitGradient` `[tokens × experts]`; `row` is the first of them. */
  addRow(logits: Float32Array, row: number, logitGradient: Float32Array): void;
}

/** log S of one entry, up to a constant per row; logits are treated as those of a softmax. */
export function logScore(logit: number, scores: ScoreKind): number {
  if (scores === "sigmoid") return Math.min(logit, 0) - Math.log1p(Math.exp(-Math.abs(logit)));
  if (scores !== "sqrt-softplus") return logit;
  return logit < softplusTail ? logit / 2 : Math.log(softplus(logit)) / 2;
}

/** ∂S/∂Z of one entry, for the kinds in which it depends on no other entry. */
function scoreSlope(logit: number, scores: Exclude<ScoreKind, "softmax">): number {
  if (scores === "logits") return 1;
  if (scores === "sigmoid") {
    const small = Math.exp(-Math.abs(logit));
    return small / (1 + small) ** 2;
  }
  if (logit < softplusTail) return Math.exp(logit / 2) / 2;
  return 1 / (2 * Math.sqrt(softplus(logit)) * (1 + Math.exp(-logit)));
}

/**
 * With d = ∂loss/∂S of a token,
 *
 *     softmax:        ∂loss/∂Z_j = S_j·(d_j − Σ_e d_e·S_e)      of all its experts
 *     sigmoid:        ∂loss/∂Z_j = d_j·S_j·(1 − S_j)
 *     sqrt-softplus:  ∂loss/∂Z_j = d_j·sigmoid(Z_j) / (2·S_j)
 *     logits:         ∂loss/∂Z_j = d_j
 *
 * in float64, from the logits, so that 1 − S keeps its precision where S is nearly 1.
 */
export function createScoreGradient(experts: number, scores: ScoreKind): ScoreGradient {
  const ofScores = new Float64Array(experts);
  const weight = new Float64Array(experts);

  function addSoftmax(logits: Float32Array, row: number, logitGradient: Float32Array): void {
    let largest = Number.NEGATIVE_INFINITY;
    for (let e = 0; e < experts; e++) largest = Math.max(largest, logits[row + e]);
    if (largest === Number.NEGATIVE_INFINITY) return;
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

  function addEntries(kind: Exclude<ScoreKind, "softmax">, logits: Float32Array, row: number, to: Float32Array): void {
    for (let e = 0; e < experts; e++) {
      if (ofScores[e] !== 0) to[row + e] += ofScores[e] * scoreSlope(logits[row + e], kind);
    }
  }

  return {
    ofScores,
    addRow(logits, row, logitGradient) {
      if (scores === "softmax") addSoftmax(logits, row, logitGradient);
      else addEntries(scores, logits, row, logitGradient);
      ofScores.fill(0);
    },
  };
}
