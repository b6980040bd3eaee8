import { sqrtSoftplus } from "./exp";
import { hostExp, hostLog1p } from "./host";
import { LOGITS, SIGMOID, SOFTMAX } from "./kinds";
import { largestOf } from "./lanes";
import { sigmoidScores, sqrtSoftplusScores } from "./scores";
import { softmaxWeight, softmaxWeights } from "./softmax";

// The keys of a selection with biases: in float32 for all experts, in float64 for the few that float32 cannot tell
// apart. Let δ(k) bound the error of a float32 key k. The key is fl(s + fl(b)) with s the affinity or the logit, so with
// B = max |b|
//
//     δ(k) = margin · min(S_max, |k| + B) + 2^−23 · (|k| + B) + 10^−37
//
// where margin = 1e-6 for affinities (the bound of `softmax.ts` and `exp.ts`; an affinity is at most S_max of its row
// and at most |k| + B) and 0 for logits, which are exact; the two roundings are together half of the second term; the
// third covers affinities that are not normal numbers. k ± δ(k) grow with k, since δ changes by less than k does. Hence,
// for the n-th largest of some keys, k_n in float32: the true n-th key is within δ(k_n) of k_n, and where at least n
// keys are ≥ θ, every expert among the true n first has k + δ(k) ≥ θ − δ(θ), so k ≥ θ − 3·δ(θ) with room for the
// rounding of this expression.

/** Rounds the `experts` float64 biases to float32 at `to` and returns the largest size of one, B. */
export function roundBiases(bias: usize, experts: i32, to: usize): f32 {
  let largest: f32 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) {
    const rounded = <f32>load<f64>(bias + (e << 3));
    store<f32>(to + (e << 2), rounded);
    largest = max(largest, abs(rounded));
  }
  return largest;
}

/** Writes from + biases of a row to `to`, which may be `from`. */
function addBiases(from: usize, biases: usize, experts: i32, to: usize): void {
  let e = 0;
  for (; e + 8 <= experts; e += 8) {
    const at = (<usize>e) << 2;
    const low = f32x4.add(v128.load(from + at), v128.load(biases + at));
    const high = f32x4.add(v128.load(from + at, 16), v128.load(biases + at, 16));
    v128.store(to + at, low);
    v128.store(to + at, high, 16);
  }
  for (; e < experts; e++) {
    const at = (<usize>e) << 2;
    store<f32>(to + at, load<f32>(from + at) + load<f32>(biases + at));
  }
}

/** Writes weights · factor + biases in place of a row's weights. */
function scaleAndAddBiases(weights: usize, factor: f32, biases: usize, experts: i32): void {
  const lanes = f32x4.splat(factor);
  let e = 0;
  for (; e + 8 <= experts; e += 8) {
    const at = (<usize>e) << 2;
    const low = f32x4.add(f32x4.mul(v128.load(weights + at), lanes), v128.load(biases + at));
    const high = f32x4.add(f32x4.mul(v128.load(weights + at, 16), lanes), v128.load(biases + at, 16));
    v128.store(weights + at, low);
    v128.store(weights + at, high, 16);
  }
  for (; e < experts; e++) {
    const at = (<usize>e) << 2;
    store<f32>(weights + at, load<f32>(weights + at) * factor + load<f32>(biases + at));
  }
}

/**
 * Writes the row's float32 keys to `to` and returns S_max, the most an affinity of the row can be; 0 for logits. A disabled
 * expert has the affinity 0, in a row of them only and among logits −∞.
 */
export function rowKeys(row: usize, kind: i32, biases: usize, experts: i32, to: usize): f32 {
  if (kind == LOGITS) {
    addBiases(row, biases, experts, to);
    return 0;
  }
  if (kind == SOFTMAX) {
    const largest = largestOf(row, experts);
    if (largest == -Infinity) {
      memory.copy(to, row, (<usize>experts) << 2);
      return 0;
    }
    const inverse = <f32>(1 / softmaxWeights(row, experts, largest, to));
    scaleAndAddBiases(to, inverse, biases, experts);
    return softmaxWeight(largest, largest) * inverse;
  }
  if (kind == SIGMOID) {
    sigmoidScores(row, experts, to);
    addBiases(to, biases, experts, to);
    return 1;
  }
  sqrtSoftplusScores(row, experts, to);
  addBiases(to, biases, experts, to);
  return <f32>1.000001 * f32x4.extract_lane(sqrtSoftplus(f32x4.splat(largestOf(row, experts))), 0);
}

/** Below this logit log(1 + e^z) is e^z, which underflows before its root does. */
// @ts-ignore: decorator
@inline
const SOFTPLUS_TAIL: f64 = -40;

/** The key of one expert as a float64 implementation has it, in the host's own steps; −∞ if it is disabled. */
function exactKey(logit: f64, kind: i32, largest: f64, sum: f64, bias: f64): f64 {
  if (kind == LOGITS || logit == -Infinity) return logit + bias;
  if (kind == SOFTMAX) return hostExp(logit - largest) / sum + bias;
  if (kind == SIGMOID) return 1 / (1 + hostExp(-logit)) + bias;
  if (logit < SOFTPLUS_TAIL) return hostExp(0.5 * logit) + bias;
  return sqrt(max(logit, 0) + hostLog1p(hostExp(-abs(logit)))) + bias;
}

/** Σ exp(z − largest) as the plain TypeScript twin sums it. */
export function hostSumExp(row: usize, experts: i32, largest: f64): f64 {
  let sum: f64 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) sum += hostExp(<f64>load<f32>(row + (e << 2)) - largest);
  return sum;
}

/**
 * Writes the float64 keys of the `size` experts listed at `candidates` to their places in `exactKeys`.
 */
export function writeExactKeys(
  row: usize,
  kind: i32,
  bias: usize,
  experts: i32,
  candidates: usize,
  size: i32,
  exactKeys: usize,
): void {
  const largest = kind == SOFTMAX ? <f64>largestOf(row, experts) : 0;
  const sum = kind == SOFTMAX ? hostSumExp(row, experts, largest) : 1;
  for (let i: usize = 0; i < <usize>size; i++) {
    const e = <usize>load<i32>(candidates + (i << 2));
    const logit = <f64>load<f32>(row + (e << 2));
    store<f64>(exactKeys + (e << 3), exactKey(logit, kind, largest, sum, load<f64>(bias + (e << 3))));
  }
}

/** δ of the comment above; `most` is S_max, 0 for logits. */
// @ts-ignore: decorator
@inline
export function keyError(key: f32, most: f32, largestBias: f32): f32 {
  const size = abs(key) + largestBias;
  return <f32>1e-6 * min(most, size) + <f32>1.1920929e-7 * size + <f32>1e-37;
}

/** The least float32 key that one of the true n first can have, where n keys are ≥ `bound`. */
export function cutoffBelow(bound: f32, most: f32, largestBias: f32): f32 {
  // Of biases that float32 cannot hold nothing is known.
  return abs(bound) == Infinity ? -Infinity : bound - 3 * keyError(bound, most, largestBias);
}
