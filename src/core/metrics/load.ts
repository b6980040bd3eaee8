import { quantileSorted } from "d3-array";

/** Maximal violation of balance: max_e A_e / mean A − 1, ≥ 0 (Wang et al. 2024, MaxVio). 0 for an all-zero load. */
export function maxVio(load: ArrayLike<number>): number {
  const mean = meanLoad(load);
  return mean === 0 ? 0 : largest(load) / mean - 1;
}

/** 1 − min_e A_e / mean A, in [0, 1]; 1 if an expert is idle. 0 for an all-zero load. */
export function minVio(load: ArrayLike<number>): number {
  const mean = meanLoad(load);
  let least = Number.POSITIVE_INFINITY;
  for (let expert = 0; expert < load.length; expert++) least = Math.min(least, load[expert]);
  return mean === 0 ? 0 : 1 - least / mean;
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
  const sorted = new Float64Array(load).sort();
  const total = totalLoad(sorted);
  if (total === 0) return 0;
  let weighted = 0;
  for (let rank = 0; rank < sorted.length; rank++) weighted += (2 * (rank + 1) - sorted.length - 1) * sorted[rank];
  return weighted / (sorted.length * total);
}

/**
 * Normalised entropy Σ −q ln q / ln E with q = A/ΣA, in [0, 1]; 1 is balanced. Defined as 1 for one expert or no load.
 */
export function loadEntropy(load: ArrayLike<number>): number {
  const total = totalLoad(load);
  if (load.length === 1 || total === 0) return 1;
  // The rounded sum of a balanced load can fall short of 1.
  if (isBalanced(load)) return 1;
  let entropy = 0;
  for (let expert = 0; expert < load.length; expert++) {
    const share = load[expert] / total;
    if (share > 0) entropy -= share * Math.log(share);
  }
  // Rounding can take a nearly balanced load above 1.
  return Math.min(1, entropy / Math.log(load.length));
}

/** Experts with zero load / E. */
export function idleFraction(load: ArrayLike<number>): number {
  let idle = 0;
  for (let expert = 0; expert < load.length; expert++) if (load[expert] === 0) idle++;
  return idle / load.length;
}

/**
 * Sums the load `[experts]` over contiguous groups of experts, one per rank, into `rankLoad` `[ranks]`: the pairs each
 * device computes under expert parallelism. If `ranks` ≤ E does not divide E, the first E mod `ranks` ranks hold one
 * expert more than the others: 30 experts on 8 ranks are 4, 4, 4, 4, 4, 4, 3, 3.
 */
export function loadPerRank(load: ArrayLike<number>, ranks: number, rankLoad: Float64Array): Float64Array {
  const least = Math.floor(load.length / ranks);
  const larger = load.length % ranks;
  let expert = 0;
  for (let rank = 0; rank < ranks; rank++) {
    const end = expert + least + (rank < larger ? 1 : 0);
    rankLoad[rank] = 0;
    for (; expert < end; expert++) rankLoad[rank] += load[expert];
  }
  return rankLoad;
}

/**
 * Slowdown of a step relative to perfect balance: max over ranks of its load / (`pairs` / R) with `pairs` = tokens ·
 * topK. At least 1 unless pairs were dropped or left unassigned; 1 if there are no pairs.
 */
export function stepTime(rankLoad: Float64Array, pairs: number): number {
  return pairs === 0 ? 1 : (largest(rankLoad) * rankLoad.length) / pairs;
}

/** Mean / largest load of a rank, in (0, 1]: the share of the step in which a rank computes, on average. 1 without load. */
export function balancedness(rankLoad: Float64Array): number {
  const most = largest(rankLoad);
  return most === 0 ? 1 : meanLoad(rankLoad) / most;
}

/** max b − min b ≥ 0 of a bias b `[experts]`, in the unit of the affinities; null if there is no bias. */
export function biasSpread(bias: ArrayLike<number> | null): number | null {
  if (bias === null) return null;
  let least = Number.POSITIVE_INFINITY;
  for (let expert = 0; expert < bias.length; expert++) least = Math.min(least, bias[expert]);
  return largest(bias) - least;
}

/** Returns the largest value; −∞ if there are none. */
export function largest(load: ArrayLike<number>): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let expert = 0; expert < load.length; expert++) most = Math.max(most, load[expert]);
  return most;
}

/**
 * Returns the quantile `p`, in [0, 1], of at least one value, by linear interpolation (R-7). Sorts a copy in float64,
 * which leaves 8 bytes of garbage per value; d3's `quantile` walks an iterator and leaves ten times as much.
 */
export function quantileOf(values: ArrayLike<number>, p: number): number {
  // NaN, of batches without any pair, is sorted to the end and left out.
  const sorted = new Float64Array(values).sort();
  let end = sorted.length;
  while (end > 0 && Number.isNaN(sorted[end - 1])) end -= 1;
  const known: ArrayLike<number> = sorted.subarray(0, end);
  return end === 0 ? Number.NaN : quantileSorted(known as number[], p)!;
}

function isBalanced(load: ArrayLike<number>): boolean {
  for (let expert = 1; expert < load.length; expert++) if (load[expert] !== load[0]) return false;
  return true;
}

/** Returns the mean of at least one value. */
export function meanLoad(load: ArrayLike<number>): number {
  return totalLoad(load) / load.length;
}

/** Loops by index: an iterator would leave garbage per expert on every step of every router. */
function totalLoad(load: ArrayLike<number>): number {
  let total = 0;
  for (let expert = 0; expert < load.length; expert++) total += load[expert];
  return total;
}
