import { quantileSorted } from "d3-array";

/**
 * The quantile `p`, in [0, 1], of at least one value, by linear interpolation (R-7). Sorts a copy in float64, which leaves
 * 8 bytes a value as garbage, where d3's own `quantile` walks an iterator and leaves ten times as much.
 */
export function quantileOf(values: readonly number[], p: number): number {
  const sorted: ArrayLike<number> = new Float64Array(values).sort();
  return quantileSorted(sorted as number[], p)!;
}
