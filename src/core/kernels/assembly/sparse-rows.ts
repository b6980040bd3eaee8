import { indicesFrom, lowerBound, SPARE_BYTES } from "./threshold";

// One row at a time. Its values v = affinity + potential are rounded to float32 keys first, four at a time, which leave
// about 2K candidates; those are ordered by their float64 values.
//
// A key's error is at most u·|key| + u·|potential|, u = 2⁻²⁴ and a little. K keys reach the bound β of `lowerBound`, so the
// K-th largest value is at least β − u·(|β| + p), p the largest |potential|, and no value above that has a key below
// β − 2u·(|β| + p), but for terms in u².

/** A bit more than 4u: the error above, doubled for the terms left out and the rounding of the cutoff itself. */
// @ts-ignore: decorator
@inline
const KEY_ERROR: f64 = 2.5e-7;

// @ts-ignore: decorator
@inline
function paddedBytes(experts: i32): usize {
  return (((<usize>experts + 3) & ~3) << 2) + SPARE_BYTES;
}

/** Bytes of scratch that {@link sparseRows} needs: float32 potentials, keys and the candidates' experts. */
export function sparseRowsScratch(experts: i32): usize {
  return 3 * paddedBytes(experts);
}

/** See `Kernels.sparseRows`. */
export function sparseRows(
  affinity: usize,
  potential: usize,
  gamma: f64,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  mass: usize,
  columnSum: usize,
  scratch: usize,
): f64 {
  const rounded = scratch;
  const keys = rounded + paddedBytes(experts);
  const candidates = keys + paddedBytes(experts);
  let largest: f64 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) {
    const own = load<f64>(potential + (e << 3));
    largest = max(largest, abs(own));
    store<f32>(rounded + (e << 2), <f32>own);
  }
  let total: f64 = 0;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = affinity + ((t * experts) << 2);
    const chosen = expert + ((t * topK) << 2);
    const value = mass + ((t * topK) << 3);
    writeKeys(row, rounded, experts, keys);
    const bound = <f64>lowerBound(keys, experts, topK);
    const cutoff = bound - KEY_ERROR * (abs(bound) + largest);
    // A cutoff that float32 does not hold is NaN or infinite: every key passes −∞.
    const candidateCount = indicesFrom(keys, experts, abs(cutoff) < 3e38 ? <f32>cutoff : -Infinity, candidates);
    const count = selectLargest(row, potential, candidates, candidateCount, topK, chosen, value);
    for (let i: usize = count; i < <usize>topK; i++) {
      store<i32>(chosen + (i << 2), -1);
      store<f64>(value + (i << 3), 0);
    }
    if (count > 0) total += project(value, chosen, count, gamma, columnSum);
  }
  return total;
}

function writeKeys(row: usize, rounded: usize, experts: i32, keys: usize): void {
  let e = 0;
  for (; e + 4 <= experts; e += 4) {
    const at = <usize>e << 2;
    v128.store(keys + at, f32x4.add(v128.load(row + at), v128.load(rounded + at)));
  }
  for (; e < experts; e++) {
    const at = <usize>e << 2;
    store<f32>(keys + at, load<f32>(row + at) + load<f32>(rounded + at));
  }
}

/** Writes the K largest values of the candidates, descending, and their experts; returns how many there are. */
function selectLargest(
  row: usize,
  potential: usize,
  candidates: usize,
  candidateCount: i32,
  topK: i32,
  chosen: usize,
  value: usize,
): i32 {
  let count = 0;
  for (let i: usize = 0; i < <usize>candidateCount; i++) {
    const e = <usize>load<i32>(candidates + (i << 2));
    const v = <f64>load<f32>(row + (e << 2)) + load<f64>(potential + (e << 3));
    if (v == -Infinity) continue;
    if (count == topK && v <= load<f64>(value + ((<usize>topK - 1) << 3))) continue;
    let place = <usize>(count < topK ? count++ : topK - 1);
    // Candidates come in ascending order, so that a value stands after those that equal it.
    for (; place > 0; place--) {
      const before = load<f64>(value + ((place - 1) << 3));
      if (before >= v) break;
      store<f64>(value + (place << 3), before);
      store<i32>(chosen + (place << 2), load<i32>(chosen + ((place - 1) << 2)));
    }
    store<f64>(value + (place << 3), v);
    store<i32>(chosen + (place << 2), <i32>e);
  }
  return count;
}

/**
 * Replaces `count` descending values by the entries of the plan, which it adds to the column sums; returns the row's
 * maximum. Distances from the largest value keep their precision however large the values are.
 */
function project(value: usize, chosen: usize, count: i32, gamma: f64, columnSum: usize): f64 {
  const largest = load<f64>(value);
  let sum: f64 = 0;
  let threshold: f64 = -gamma;
  for (let i = 1; i < count; i++) {
    const distance = load<f64>(value + (<usize>i << 3)) - largest;
    if (distance <= threshold) break;
    sum += distance;
    threshold = (sum - gamma) / <f64>(i + 1);
  }
  let linear: f64 = 0;
  let squares: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const at = value + (i << 3);
    const distance = load<f64>(at) - largest;
    const p = max(0, distance - threshold) / gamma;
    store<f64>(at, p);
    if (p == 0) continue;
    const to = columnSum + (<usize>load<i32>(chosen + (i << 2)) << 3);
    store<f64>(to, load<f64>(to) + p);
    linear += distance * p;
    squares += p * p;
  }
  return largest + (linear - 0.5 * gamma * squares);
}
