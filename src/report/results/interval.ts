import tQuantile from "@stdlib/stats-base-dists-t-quantile";
import { deviation, mean } from "d3-array";

/** A mean over seeds, and how sure it is. */
export interface Interval {
  readonly mean: number;
  /** Half the width of the two-sided 95 % confidence interval around the mean; null for a single value. */
  readonly halfWidth: number | null;
  /** How many values there are. */
  readonly count: number;
}

/**
 * The mean of `values` and its 95 % confidence interval by Student's t with `count − 1` degrees of freedom, which takes
 * the values to be independent and about normal. Null where there is no value.
 */
export function confidenceInterval(values: readonly number[]): Interval | null {
  const count = values.length;
  if (count === 0) return null;
  if (count === 1) return { mean: values[0], halfWidth: null, count };
  const standardError = deviation(values)! / Math.sqrt(count);
  return { mean: mean(values)!, halfWidth: tQuantile(0.975, count - 1) * standardError, count };
}
