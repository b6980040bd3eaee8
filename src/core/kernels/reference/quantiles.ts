import type { ScoreKind } from "../../assignment.ts";
import { affinities } from "./affinity.ts";
import { selectTopK } from "./select.ts";

export function columnQuantiles(
  scores: Float64Array,
  shift: Float64Array,
  tokens: number,
  experts: number,
  rank: number,
  out: Float64Array,
): void {
  for (let e = 0; e < experts; e++) {
    const differences = Float64Array.from({ length: tokens }, (_, t) => scores[t * experts + e] - shift[t]);
    out[e] = differences.sort()[tokens - rank];
  }
}

/** S − α `[tokens × experts]`: −∞ of disabled experts, ∞ of the others of a token with at most K. */
function excessOf(
  logits: Float32Array,
  kind: ScoreKind,
  bias: Float64Array,
  tokens: number,
  experts: number,
  topK: number,
): Float64Array {
  const none = Number.NEGATIVE_INFINITY;
  const excess = new Float64Array(tokens * experts);
  affinities(logits, kind, tokens, experts, excess);
  for (let row = 0; row < tokens * experts; row += experts) {
    const own = excess.subarray(row, row + experts);
    for (let e = 0; e < experts; e++) if (logits[row + e] === none) own[e] = none;
    const threshold = own.map((score, e) => score + bias[e]).sort()[experts - topK - 1];
    for (let e = 0; e < experts; e++) if (own[e] > none) own[e] -= threshold;
  }
  return excess;
}

export function selectByPrice(
  logits: Float32Array,
  kind: ScoreKind,
  bias: Float64Array,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  load: Int32Array,
  excess: Float32Array,
  error: Float64Array,
): void {
  selectTopK(logits, kind, bias, tokens, experts, topK, expert, load);
  excess.set(excessOf(logits, kind, bias, tokens, experts, topK));
  // Half a unit in the last place of float32, of numbers below the largest.
  for (let t = 0; t < tokens; t++) {
    const sizes = excess
      .subarray(t * experts, (t + 1) * experts)
      .map(Math.abs)
      .filter(Number.isFinite);
    error[t] = Math.max(0, ...sizes) * 2 ** -24;
  }
}

export function priceQuantiles(
  logits: Float32Array,
  kind: ScoreKind,
  bias: Float64Array,
  _excess: Float32Array,
  _error: Float64Array,
  tokens: number,
  experts: number,
  topK: number,
  rank: number,
  out: Float64Array,
): void {
  const excess = excessOf(logits, kind, bias, tokens, experts, topK);
  columnQuantiles(excess, new Float64Array(tokens), tokens, experts, rank, out);
}
