/** Approximate number of tokens that the spread is measured on. */
const sampledTokens = 64;

/** Returns n such that every n-th of `tokens` tokens makes about {@link sampledTokens}. */
export function spreadStride(tokens: number): number {
  return Math.ceil(tokens / sampledTokens);
}

/**
 * Returns the scale of prices, positive: how far a token's best expert is above one that it will not get, its (2·topK + 1)-th
 * best, on average over every `stride`-th token of the blocks `[tokens × experts]`.
 */
export function meanSpread(
  blocks: Iterable<{ readonly scores: Float64Array; readonly tokens: number }>,
  experts: number,
  topK: number,
  stride = 1,
): number {
  const row = new Float64Array(experts);
  let total = 0;
  let count = 0;
  for (const { scores, tokens } of blocks) {
    for (let t = 0; t < tokens; t += stride) {
      row.set(scores.subarray(t * experts, (t + 1) * experts));
      row.sort();
      total += row[experts - 1] - row[Math.max(0, experts - 1 - 2 * topK)];
      count += 1;
    }
  }
  return total / count || 1;
}
