/** Tokens that the spread is taken from, about. */
const sampledTokens = 64;

/** Every so-many-th of `tokens` tokens, so that about {@link sampledTokens} are taken. */
export function spreadStride(tokens: number): number {
  return Math.ceil(tokens / sampledTokens);
}

/**
 * How far a token's best expert is above those that it will not get, its (2·topK + 1)-th best, on average over the blocks'
 * tokens `[tokens × experts]`, of which every `stride`-th is taken; positive. The scale of prices.
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
