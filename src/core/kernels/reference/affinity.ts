import type { ScoreKind } from "../../assignment.ts";

/** The largest of `length` entries from `start` on. */
export function largestOf(values: ArrayLike<number>, start: number, length: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < start + length; i++) largest = Math.max(largest, values[i]);
  return largest;
}

/** Σ exp(values[i] − shift) over `length` entries from `start` on, in float64. */
export function sumExp(values: ArrayLike<number>, start: number, length: number, shift: number): number {
  let sum = 0;
  for (let i = start; i < start + length; i++) sum += Math.exp(values[i] - shift);
  return sum;
}

/** 1 / (1 + e^−z); e^−z may overflow to infinity, which gives the right 0. */
export function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

/** log of {@link sigmoid}, finite for every finite logit. */
export function logSigmoid(logit: number): number {
  return Math.min(logit, 0) - Math.log1p(Math.exp(-Math.abs(logit)));
}

/** Below this logit log(1 + e^z) is e^z, which underflows before its root does. */
export const softplusTail = -40;

/** log(1 + e^z). */
export function softplus(logit: number): number {
  return Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit)));
}

/** √log(1 + e^z). */
export function sqrtSoftplus(logit: number): number {
  if (logit < softplusTail) return Math.exp(logit / 2);
  return Math.sqrt(softplus(logit));
}

/** log of {@link sqrtSoftplus}, finite for every finite logit. */
export function logSqrtSoftplus(logit: number): number {
  return logit < softplusTail ? logit / 2 : Math.log(sqrtSoftplus(logit));
}

/**
 * ∂log S/∂Z of one entry, in float64: 1 − S of a sigmoid, S′/S of the others; 1 of a softmax, whose sum cancels where it is
 * divided by another, and of logits, which are then their softmax.
 */
export function logScoreSlope(logit: number, scores: ScoreKind): number {
  if (scores === "softmax" || scores === "logits") return 1;
  // 1 − sigmoid(z) = 1 / (1 + e^z), which keeps its precision where the sigmoid is 1.
  if (scores === "sigmoid") return 1 / (1 + Math.exp(logit));
  return logit < softplusTail ? 0.5 : 1 / (2 * softplus(logit) * (1 + Math.exp(-logit)));
}

/** S of one entry, by the kinds that look at no other. */
export function entryAffinity(logit: number, kind: Exclude<ScoreKind, "softmax">): number {
  if (kind === "sigmoid") return sigmoid(logit);
  return kind === "sqrt-softplus" ? sqrtSoftplus(logit) : logit;
}

/** Writes S of the row of `experts` logits from `row` on into `affinity` `[experts]`. */
export function rowAffinities(
  logits: Float32Array,
  row: number,
  experts: number,
  kind: ScoreKind,
  affinity: Float64Array,
): void {
  if (kind !== "softmax") {
    for (let e = 0; e < experts; e++) affinity[e] = entryAffinity(logits[row + e], kind);
    return;
  }
  const largest = largestOf(logits, row, experts);
  if (largest === Number.NEGATIVE_INFINITY) {
    affinity.fill(0, 0, experts);
    return;
  }
  const sum = sumExp(logits, row, experts, largest);
  for (let e = 0; e < experts; e++) affinity[e] = Math.exp(logits[row + e] - largest) / sum;
}

export function affinities(
  logits: Float32Array,
  kind: ScoreKind,
  tokens: number,
  experts: number,
  out: Float64Array,
): void {
  for (let row = 0; row < tokens * experts; row += experts) {
    rowAffinities(logits, row, experts, kind, out.subarray(row, row + experts));
  }
}

export function addShares(
  logits: Float32Array,
  kind: ScoreKind,
  tokens: number,
  experts: number,
  share: Float64Array,
): void {
  const affinity = new Float64Array(experts);
  for (let t = 0; t < tokens; t++) {
    rowAffinities(logits, t * experts, experts, kind, affinity);
    const sum = affinity.reduce((total, own) => total + own, 0);
    if (sum === 0) continue;
    for (let e = 0; e < experts; e++) share[e] += affinity[e] / sum;
  }
}
