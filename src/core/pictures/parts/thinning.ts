/**
 * Returns the positions of at most `most` (at least 4) of `values`, rising, that keep the look of the line through
 * them: the first, the last, and the lowest and highest of each of equally long stretches between, so no peak or dip is
 * lost. All positions if there are no more than `most`. Values must not be NaN.
 */
export function thinnedPositions(values: readonly number[], most: number): number[] {
  if (values.length <= most) return Array.from(values.keys());
  const last = values.length - 1;
  const stretches = Math.floor((most - 2) / 2);
  const kept = [0];
  for (let stretch = 0; stretch < stretches; stretch++) {
    const start = 1 + Math.floor((stretch * (last - 1)) / stretches);
    const end = 1 + Math.floor(((stretch + 1) * (last - 1)) / stretches);
    let lowest = start;
    let highest = start;
    for (let position = start; position < end; position++) {
      if (values[position] < values[lowest]) lowest = position;
      if (values[position] > values[highest]) highest = position;
    }
    kept.push(Math.min(lowest, highest));
    if (lowest !== highest) kept.push(Math.max(lowest, highest));
  }
  kept.push(last);
  return kept;
}
