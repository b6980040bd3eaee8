import type { ScoreKind } from "../../assignment.ts";
import type { PriceExcess } from "../kernels.ts";
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

/**
 * S − α `[tokens × experts]`: −bias of the expert that has α, −∞ of disabled experts, ∞ of the others of a token with at most
 * K. Writes the experts with α to `next` `[tokens]`, −1 for none.
 */
function excessOf(
  logits: Float32Array,
  kind: ScoreKind,
  bias: Float64Array,
  tokens: number,
  experts: number,
  topK: number,
  next: Int32Array,
): Float64Array {
  const none = Number.NEGATIVE_INFINITY;
  const excess = new Float64Array(tokens * experts);
  affinities(logits, kind, tokens, experts, excess);
  for (let t = 0; t < tokens; t++) {
    const row = t * experts;
    const own = excess.subarray(row, row + experts);
    for (let e = 0; e < experts; e++) if (logits[row + e] === none) own[e] = none;
    const keys = own.map((score, e) => score + bias[e]);
    const last = [...keys.keys()].sort((a, b) => keys[b] - keys[a] || a - b)[topK];
    const threshold = keys[last];
    next[t] = threshold > none ? last : -1;
    for (let e = 0; e < experts; e++) if (own[e] > none) own[e] -= threshold;
    if (next[t] >= 0) own[last] = 0 - bias[last];
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
  { value, error, gap, next, reach }: PriceExcess,
): void {
  selectTopK(logits, kind, bias, tokens, experts, topK, expert, load);
  value.set(excessOf(logits, kind, bias, tokens, experts, topK, next));
  // Half a unit in the last place of float32, of numbers below the largest.
  for (let t = 0; t < tokens; t++) {
    const sizes = value
      .subarray(t * experts, (t + 1) * experts)
      .map(Math.abs)
      .filter(Number.isFinite);
    error[t] = Math.max(0, ...sizes) * 2 ** -24;
  }
  for (let t = 0; t < tokens; t++) {
    let before = 0;
    gap[t] = next[t] < 0 ? 0 : Number.POSITIVE_INFINITY;
    for (let slot = (t + 1) * topK - 1; slot >= t * topK && next[t] >= 0; slot--) {
      const own = value[t * experts + expert[slot]] + bias[expert[slot]];
      gap[t] = Math.min(gap[t], own - before);
      before = own;
    }
  }
  reach[0] = -1;
}

export function priceQuantiles(
  logits: Float32Array,
  kind: ScoreKind,
  bias: Float64Array,
  _excess: PriceExcess,
  tokens: number,
  experts: number,
  topK: number,
  rank: number,
  out: Float64Array,
): void {
  const excess = excessOf(logits, kind, bias, tokens, experts, topK, new Int32Array(tokens));
  columnQuantiles(excess, new Float64Array(tokens), tokens, experts, rank, out);
}
