import type { ScoreKind } from "../../assignment.ts";
import type { KeyKind } from "../kernels.ts";

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

/** Writes S of the row of `experts` logits from `row` on into `affinity` `[experts]`. */
export function rowAffinities(
  logits: Float32Array,
  row: number,
  experts: number,
  kind: ScoreKind,
  affinity: Float64Array,
): void {
  if (kind === "sigmoid") {
    for (let e = 0; e < experts; e++) affinity[e] = sigmoid(logits[row + e]);
    return;
  }
  const largest = largestOf(logits, row, experts);
  const sum = sumExp(logits, row, experts, largest);
  for (let e = 0; e < experts; e++) affinity[e] = Math.exp(logits[row + e] - largest) / sum;
}

export function affinities(
  logits: Float32Array,
  kind: KeyKind,
  tokens: number,
  experts: number,
  out: Float64Array,
): void {
  const entries = tokens * experts;
  if (kind === "logits") {
    out.set(logits.subarray(0, entries));
    return;
  }
  for (let row = 0; row < entries; row += experts) {
    rowAffinities(logits, row, experts, kind, out.subarray(row, row + experts));
  }
}
