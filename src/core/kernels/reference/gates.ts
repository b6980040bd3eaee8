import type { ScoreKind } from "../../assignment.ts";
import { entryAffinity, largestOf, logSigmoid, logSqrtSoftplus, rowAffinities } from "./affinity.ts";
import { selectTopK } from "./select.ts";

/** log S up to a constant of the row: a softmax is its logits, and logits stand for themselves. */
function logAffinity(logit: number, kind: ScoreKind): number {
  if (kind === "sigmoid") return logSigmoid(logit);
  return kind === "sqrt-softplus" ? logSqrtSoftplus(logit) : logit;
}

/**
 * `gate` = softmax of `logWeight` over the slots of one token that hold an expert. In the log domain, so that weights
 * which all underflow still sum to 1.
 */
function normaliseSlots(
  logWeight: Float64Array,
  expert: Int32Array,
  start: number,
  slots: number,
  gate: Float32Array,
): void {
  const largest = largestOf(logWeight, 0, slots);
  let sum = 0;
  for (let slot = 0; slot < slots; slot++) {
    if (expert[start + slot] >= 0) sum += Math.exp(logWeight[slot] - largest);
  }
  for (let slot = 0; slot < slots; slot++) {
    gate[start + slot] = expert[start + slot] < 0 ? 0 : Math.exp(logWeight[slot] - largest) / sum;
  }
}

export function gates(
  logits: Float32Array,
  kind: ScoreKind,
  renormalize: boolean,
  expert: Int32Array,
  tokens: number,
  experts: number,
  slots: number,
  gate: Float32Array,
): void {
  const affinity = new Float64Array(experts);
  const logWeight = new Float64Array(slots);
  for (let t = 0; t < tokens; t++) {
    const row = t * experts;
    const start = t * slots;
    if (renormalize) {
      for (let slot = 0; slot < slots; slot++) {
        const chosen = expert[start + slot];
        logWeight[slot] = chosen < 0 ? Number.NEGATIVE_INFINITY : logAffinity(logits[row + chosen], kind);
      }
      normaliseSlots(logWeight, expert, start, slots, gate);
    } else {
      rowAffinities(logits, row, experts, kind, affinity);
      for (let slot = start; slot < start + slots; slot++) gate[slot] = expert[slot] < 0 ? 0 : affinity[expert[slot]];
    }
  }
}

export function selectByPlan(
  logits: Float32Array,
  columnPotential: Float64Array,
  epsilon: number,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  load: Int32Array,
  gate: Float32Array,
): void {
  const bias = columnPotential.map((potential) => epsilon * potential);
  selectTopK(logits, "logits", bias, tokens, experts, topK, expert, load);
  const logWeight = new Float64Array(topK);
  for (let t = 0; t < tokens; t++) {
    for (let slot = 0; slot < topK; slot++) {
      const chosen = expert[t * topK + slot];
      const exponent = logits[t * experts + chosen] / epsilon + columnPotential[chosen];
      logWeight[slot] = chosen < 0 ? Number.NEGATIVE_INFINITY : exponent;
    }
    normaliseSlots(logWeight, expert, t * topK, topK, gate);
  }
}

export function pairScores(
  logits: Float32Array,
  kind: ScoreKind,
  logSumExp: Float64Array,
  expert: Int32Array,
  tokens: number,
  experts: number,
  slots: number,
  pairScore: Float64Array,
): void {
  for (let t = 0; t < tokens; t++) {
    for (let slot = t * slots; slot < (t + 1) * slots; slot++) {
      const logit = logits[t * experts + expert[slot]];
      if (expert[slot] < 0) pairScore[slot] = 0;
      else pairScore[slot] = kind === "softmax" ? Math.exp(logit - logSumExp[t]) : entryAffinity(logit, kind);
    }
  }
}
