import seedrandom from "seedrandom";

/** Normal logits `[tokens × experts]` with standard deviation `scale`, the same for the same `seed`. */
export function randomLogits(seed: string, tokens: number, experts: number, scale = 1): Float32Array {
  const generator = seedrandom(seed);
  return Float32Array.from(
    { length: tokens * experts },
    () => scale * Math.sqrt(-2 * Math.log(1 - generator())) * Math.cos(2 * Math.PI * generator()),
  );
}

/** As {@link randomLogits}, with each expert's column shifted by up to ±`skew`, so that loads are uneven. */
export function skewedLogits(seed: string, tokens: number, experts: number, skew: number): Float32Array {
  const logits = randomLogits(seed, tokens, experts);
  return logits.map((logit, entry) => logit + skew * (1 - (2 * (entry % experts)) / Math.max(1, experts - 1)));
}
