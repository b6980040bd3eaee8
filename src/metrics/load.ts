import { max, min, sum } from "d3-array";

/** Maximal violation of balance: max_e A_e / mean A − 1, ≥ 0 (Wang et al. 2024, MaxVio). 0 for an all-zero load. */
export function maxVio(load: ArrayLike<number>): number {
  const mean = meanLoad(load);
  return mean === 0 ? 0 : max(load as ArrayLike<number> & Iterable<number>)! / mean - 1;
}

/** 1 − min_e A_e / mean A, in [0, 1]; 1 when an expert is idle. 0 for an all-zero load. */
export function minVio(load: ArrayLike<number>): number {
  const mean = meanLoad(load);
  return mean === 0 ? 0 : 1 - min(load as ArrayLike<number> & Iterable<number>)! / mean;
}

/** Coefficient of variation: population standard deviation / mean. 0 for an all-zero load. */
export function loadCv(load: ArrayLike<number>): number {
  const mean = meanLoad(load);
  if (mean === 0) return 0;
  let squares = 0;
  for (let expert = 0; expert < load.length; expert++) squares += (load[expert] - mean) ** 2;
  return Math.sqrt(squares / load.length) / mean;
}

/** Gini coefficient of the loads, in [0, 1 − 1/E]; 0 is balanced. 0 for an all-zero load. */
export function loadGini(load: ArrayLike<number>): number {
  const sorted = Float64Array.from(load).sort();
  const total = sum(sorted);
  if (total === 0) return 0;
  let weighted = 0;
  for (let rank = 0; rank < sorted.length; rank++) weighted += (2 * (rank + 1) - sorted.length - 1) * sorted[rank];
  return weighted / (sorted.length * total);
}

/** Normalised entropy Σ −q ln q / ln E with q = A/ΣA, in [0, 1]; 1 is balanced, and 1 by definition for one expert or no load. */
export function loadEntropy(load: ArrayLike<number>): number {
  const total = sum(load as ArrayLike<number> & Iterable<number>);
  if (load.length === 1 || total === 0) return 1;
  let entropy = 0;
  for (let expert = 0; expert < load.length; expert++) {
    const share = load[expert] / total;
    if (share > 0) entropy -= share * Math.log(share);
  }
  // The rounding of a balanced load's sum can pass 1.
  return Math.min(1, entropy / Math.log(load.length));
}

/** Experts with zero load / E. */
export function idleFraction(load: ArrayLike<number>): number {
  let idle = 0;
  for (let expert = 0; expert < load.length; expert++) if (load[expert] === 0) idle++;
  return idle / load.length;
}

function meanLoad(load: ArrayLike<number>): number {
  return sum(load as ArrayLike<number> & Iterable<number>) / load.length;
}
