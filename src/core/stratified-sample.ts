import type { RandomSource } from "./random.ts";

/**
 * One random position from every stratum of `size` consecutive ones; the last stratum may be shorter. Unlike every
 * `size`-th position, the sample does not keep step with any period of the population.
 */
export interface StratifiedSample {
  /** Number of strata, and therefore of positions drawn. */
  readonly strata: number;
  /** Returns the position drawn from `stratum`, 0 … strata − 1. */
  drawnFrom(stratum: number): number;
  /** Returns the stratum that `position` was drawn from; −1 if it was not drawn. */
  stratumOf(position: number): number;
}

/**
 * Draws one of the positions 0 … `count` − 1 from each stratum of `size`. The strata draw from `random` in order, so a
 * larger `count` keeps the positions of all whole strata; `count` may be ∞. Nothing else may draw from `random`.
 */
export function createStratifiedSample(count: number, size: number, random: RandomSource): StratifiedSample {
  const drawn: number[] = [];

  function drawnFrom(stratum: number): number {
    if (size === 1) return stratum;
    while (drawn.length <= stratum) {
      const start = drawn.length * size;
      drawn.push(drawBetween(start, Math.min(start + size, count), random));
    }
    return drawn[stratum];
  }

  return {
    strata: Math.ceil(count / size),
    drawnFrom,
    stratumOf(position) {
      if (position >= count) return -1;
      const stratum = Math.floor(position / size);
      return drawnFrom(stratum) === position ? stratum : -1;
    },
  };
}

/** Returns one of the integers `start` … `end` − 1, all equally likely. */
function drawBetween(start: number, end: number, random: RandomSource): number {
  return start + Math.floor(random.uniform() * (end - start));
}

/**
 * Returns `most` of the positions 0 … `count` − 1, rising, or all if there are no more: the first, the last, and one
 * drawn from each of equal strata between. Only the last if `most` is 1.
 */
export function drawWithEnds(count: number, most: number, random: RandomSource): number[] {
  if (count <= most) return Array.from({ length: count }, (_, position) => position);
  if (most === 1) return [count - 1];
  const strata = most - 2;
  const edge = (stratum: number) => 1 + Math.floor((stratum * (count - 2)) / strata);
  const between = Array.from({ length: strata }, (_, k) => drawBetween(edge(k), edge(k + 1), random));
  return [0, ...between, count - 1];
}

/**
 * Draws one of the positions 0 … `count` − 1 from each of `strata` ≤ `count` equal parts, rising. All positions are
 * equally likely, so the plain mean over the sample is unbiased; a position on the border of two parts can be drawn
 * twice.
 */
export function drawEvenly(count: number, strata: number, random: RandomSource): number[] {
  return Array.from({ length: strata }, (_, k) => Math.floor(((k + random.uniform()) * count) / strata));
}

/** An estimate of a population's mean. */
export interface MeanEstimate {
  readonly mean: number;
  /** Standard error of `mean`; null if the whole population was measured, or fewer than two positions. */
  readonly standardError: number | null;
}

/**
 * Estimates the mean of a population of `count` from one value per stratum of `size`: Σ n_h·x_h / Σ n_h with n_h the
 * positions of stratum h, which is unbiased even though the last stratum is shorter. `values` may lack the last
 * stratum, which is then left out. Null without values.
 *
 * A single value says nothing about its stratum's variance, so neighbours are collapsed into groups of two; if their
 * number is odd, the last three form one group:
 *
 *     v = Σ over groups of (max W_h)²·Σ (x_h − x̄)²·m/(m − 1),   W_h = n_h / Σ n_h,  m strata in the group
 *
 * Its expectation is the variance of the mean plus the differences between the strata's own means within a group: on
 * average it is never too low, whatever the population, and exact if neighbouring strata are alike, as in a population
 * with period `size`. It already includes the finite-population correction: a value drawn from n_h has the variance (1
 * − 1/n_h)·S_h², which is what the differences show. A further factor would make v too low for a periodic population.
 *
 * Source: Hansen, Hurwitz and Madow 1953, section 9.15; Cochran 1977, Sampling Techniques, section 5A.12.
 */
export function estimateMean(values: ArrayLike<number>, count: number, size: number): MeanEstimate | null {
  const strata = values.length;
  if (strata === 0) return null;
  const sizeOf = (stratum: number) => Math.min(size, count - stratum * size);
  let total = 0;
  let positions = 0;
  for (let h = 0; h < strata; h++) {
    total += sizeOf(h) * values[h];
    positions += sizeOf(h);
  }
  const mean = total / positions;
  if (size === 1 || strata < 2) return { mean, standardError: null };
  let variance = 0;
  for (let start = 0; start < strata - 1; ) {
    const members = strata - start === 3 ? 3 : 2;
    // The first of a group is never the shorter one.
    const weight = sizeOf(start) / positions;
    variance += weight ** 2 * members * sampleVariance(values, start, start + members);
    start += members;
  }
  return { mean, standardError: Math.sqrt(variance) };
}

function sampleVariance(values: ArrayLike<number>, start: number, end: number): number {
  let mean = 0;
  for (let i = start; i < end; i++) mean += values[i] / (end - start);
  let squares = 0;
  for (let i = start; i < end; i++) squares += (values[i] - mean) ** 2;
  return squares / (end - start - 1);
}
