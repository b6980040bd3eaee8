/**
 * The mean of `values` around each position, from `radius` before it to `radius` behind it. A value with fewer before it
 * is averaged with as few behind it, so that a steep beginning is not drawn flatter than it is; at the end the mean is over
 * those that there are. NaN counts for nothing, and is the mean where there is nothing else.
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
