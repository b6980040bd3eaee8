/**
 * Returns the mean of `values` around each position, from `radius` before it to `radius` after it. A value with fewer
 * values before it is averaged with equally few after it, so that a steep start is not flattened; at the end, the mean
 * is over the values that exist. NaN is ignored, and is the mean only if there is nothing else.
 */
export function runningMean(values: readonly number[], radius: number): number[] {
  const sums = new Float64Array(values.length + 1);
  const counts = new Int32Array(values.length + 1);
  for (const [position, value] of values.entries()) {
    const isThere = !Number.isNaN(value);
    sums[position + 1] = sums[position] + (isThere ? value : 0);
    counts[position + 1] = counts[position] + (isThere ? 1 : 0);
  }
  return values.map((_, position) => {
    const reach = Math.min(radius, position);
    const [start, end] = [position - reach, Math.min(position + reach + 1, values.length)];
    return (sums[end] - sums[start]) / (counts[end] - counts[start]);
  });
}
