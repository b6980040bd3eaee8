/**
 * Pearson's statistic Σ (count − mean)² / mean of counts that should all be equal, and the value that a chi-square
 * distribution with as many degrees of freedom less one passes with probability 3e-7 (five standard deviations of a
 * normal, Wilson & Hilferty 1931).
 */
export function equalCounts(counts: readonly number[]): { statistic: number; limit: number } {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const statistic = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
  const freedom = counts.length - 1;
  const spread = 2 / (9 * freedom);
  return { statistic, limit: freedom * (1 - spread + 5 * Math.sqrt(spread)) ** 3 };
}
