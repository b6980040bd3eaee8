import type { ScoreKind } from "../../assignment.ts";
import { logScoreSlope, rowAffinities } from "./affinity.ts";

export function loadGradient(
  logits: Float32Array,
  kind: Exclude<ScoreKind, "logits">,
  load: Int32Array,
  tokens: number,
  experts: number,
  gradient: Float64Array,
): void {
  gradient.fill(0, 0, experts);
  if (kind === "softmax") addSoftmaxGradient(logits, load, tokens, experts, gradient);
  else addEntrywiseGradient(logits, kind, load, tokens, experts, gradient);
}

function addEntrywiseGradient(
  logits: Float32Array,
  kind: "sigmoid" | "sqrt-softplus",
  load: Int32Array,
  tokens: number,
  experts: number,
  gradient: Float64Array,
): void {
  const share = new Float64Array(experts);
  for (let row = 0; row < tokens * experts; row += experts) {
    rowAffinities(logits, row, experts, kind, share);
    const sum = share.reduce((total, own) => total + own, 0);
    if (sum === 0) continue;
    let mean = 0;
    for (let e = 0; e < experts; e++) {
      share[e] /= sum;
      mean += load[e] * share[e];
    }
    for (let e = 0; e < experts; e++) {
      if (share[e] > 0) gradient[e] += share[e] * logScoreSlope(logits[row + e], kind) * (load[e] - mean);
    }
  }
}

function addSoftmaxGradient(
  logits: Float32Array,
  load: Int32Array,
  tokens: number,
  experts: number,
  gradient: Float64Array,
): void {
  const probability = new Float64Array(experts);
  let pairs = 0;
  for (let e = 0; e < experts; e++) pairs += load[e];
  // The rows sum to 1, so that a constant taken from all loads changes nothing but the rounding.
  const mean = pairs / experts;
  for (let row = 0; row < tokens * experts; row += experts) {
    rowAffinities(logits, row, experts, "softmax", probability);
    let expected = 0;
    for (let e = 0; e < experts; e++) expected += (load[e] - mean) * probability[e];
    for (let e = 0; e < experts; e++) gradient[e] += probability[e] * (load[e] - mean - expected);
  }
}
