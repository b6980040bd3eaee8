/**
 * The Zipf law on `count` ranks: p_r = (r + 1)^−exponent / Σ_s (s + 1)^−exponent, `[count]`, descending, sums to 1.
 * Exponent 0 gives the uniform law. Zipf 1949.
 */
export function zipfWeights(count: number, exponent: number): Float64Array {
  const weights = Float64Array.from({ length: count }, (_, rank) => (rank + 1) ** -exponent);
  let total = 0;
  // Smallest first, so that the many small weights of a long tail are not lost to rounding.
  for (let rank = count - 1; rank >= 0; rank--) total += weights[rank];
  for (let rank = 0; rank < count; rank++) weights[rank] /= total;
  return weights;
}
