/// <reference path="./jstat.d.ts" />
import { deviation, mean } from "d3-array";
import jstat from "jstat";

/**
 * The 97.5 % quantile of Student's t with `freedom` > 0 degrees of freedom, whole or not: half of what a two-sided 95 %
 * confidence interval is wide, in standard errors. Its relative error is below 1e-7 for up to 1e5 degrees of freedom.
 */
export function studentQuantile(freedom: number): number {
  return jstat.studentt.inv(0.975, freedom);
}

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
  return { mean: mean(values)!, halfWidth: studentQuantile(count - 1) * standardError, count };
}
