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

/** How far the mean of one group of seeds is from that of another. */
export interface MeanDifference {
  readonly difference: number;
  /** Half the width of the 95 % confidence interval around it; null where a group has a single value. */
  readonly halfWidth: number | null;
  /** Whether that interval leaves out 0; null where there is none. */
  readonly isClear: boolean | null;
}

/**
 * `mean` − `reference` with Welch's confidence interval (1947), which lets the groups have variances and sizes of their own.
 * It takes the seeds of both to be independent; where both ran the same batches, {@link meanOfDifferences} is narrower.
 */
export function meanDifference(mean: Interval, reference: Interval): MeanDifference {
  const difference = mean.mean - reference.mean;
  if (mean.halfWidth === null || reference.halfWidth === null) return { difference, halfWidth: null, isClear: null };
  const variances = [mean, reference].map(({ halfWidth, count }) => {
    const standardError = halfWidth! / studentQuantile(count - 1);
    return { variance: standardError ** 2, freedom: count - 1 };
  });
  const variance = variances[0].variance + variances[1].variance;
  if (variance === 0) return { difference, halfWidth: 0, isClear: difference !== 0 };
  const freedom = variance ** 2 / variances.reduce((sum, group) => sum + group.variance ** 2 / group.freedom, 0);
  const halfWidth = studentQuantile(freedom) * Math.sqrt(variance);
  return { difference, halfWidth, isClear: Math.abs(difference) > halfWidth };
}

/**
 * The mean of `differences`, one a seed and two or more, with Student's confidence interval: that of the paired t-test,
 * from which what the seeds do to both sides alike drops out.
 */
export function meanOfDifferences(differences: readonly number[]): MeanDifference {
  const { mean: difference, halfWidth } = confidenceInterval(differences)!;
  return { difference, halfWidth, isClear: Math.abs(difference) > halfWidth! };
}
