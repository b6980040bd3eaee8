/// <reference path="./jstat.d.ts" />
import { deviation, mean, sum } from "d3-array";
import jstat from "jstat";

/**
 * Returns the 97.5 % quantile of Student's t with `freedom` > 0 degrees of freedom, integer or not: half the width of a
 * two-sided 95 % confidence interval, in standard errors. Its relative error is below 1e-7 for up to 1e5 degrees of
 * freedom.
 */
export function studentQuantile(freedom: number): number {
  return jstat.studentt.inv(0.975, freedom);
}

/** A mean over seeds or steps, and its precision. */
export interface Interval {
  readonly mean: number;
  /** Half the width of the two-sided 95 % confidence interval around the mean; null for a single value. */
  readonly halfWidth: number | null;
  /** Number of values. */
  readonly count: number;
}

/**
 * Returns the mean of `values` and its 95 % confidence interval by Student's t with `count − 1` degrees of freedom,
 * which assumes that the values are independent and roughly normal. Null without values.
 */
export function confidenceInterval(values: readonly number[]): Interval | null {
  const count = values.length;
  if (count === 0) return null;
  if (count === 1) return { mean: values[0], halfWidth: null, count };
  const standardError = deviation(values)! / Math.sqrt(count);
  return { mean: mean(values)!, halfWidth: studentQuantile(count - 1) * standardError, count };
}

/**
 * Returns the mean of `values` weighted by `weights` > 0, and its 95 % confidence interval: that of a ratio estimator
 * (Cochran 1977, section 6.5), which is {@link confidenceInterval}'s if all weights are equal. Null without values.
 */
export function weightedInterval(values: readonly number[], weights: readonly number[]): Interval | null {
  const count = values.length;
  if (new Set(weights).size <= 1) return confidenceInterval(values);
  const total = sum(weights);
  const weighted = sum(values, (value, i) => weights[i] * value) / total;
  const squares = sum(values, (value, i) => (weights[i] * (value - weighted)) ** 2);
  const standardError = Math.sqrt((count / (count - 1)) * squares) / total;
  return { mean: weighted, halfWidth: studentQuantile(count - 1) * standardError, count };
}

/** Difference between the means of two groups of seeds. */
export interface MeanDifference {
  readonly difference: number;
  /** Half the width of its 95 % confidence interval; null if a group has a single value. */
  readonly halfWidth: number | null;
  /** Whether that interval excludes 0; null if there is none. */
  readonly isClear: boolean | null;
}

/**
 * Returns `mean` − `reference` with Welch's confidence interval (1947), which allows groups of different variance and
 * size. It assumes that the seeds of both are independent; if both ran the same batches, {@link meanOfDifferences} is
 * narrower.
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
 * Returns the mean of `differences`, one per seed and at least two, with Student's confidence interval: that of the
 * paired t-test, which cancels what the seeds do to both sides alike.
 */
export function meanOfDifferences(differences: readonly number[]): MeanDifference {
  const { mean: difference, halfWidth } = confidenceInterval(differences)!;
  return { difference, halfWidth, isClear: Math.abs(difference) > halfWidth! };
}
