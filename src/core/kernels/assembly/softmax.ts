import { exponentOf, scaledExp } from "./exp";
import { hostLog } from "./host";
import { largestOf, loadPartial, promoteHigh, promoteLow, storePartial, sumLanes64 } from "./lanes";

// A row's softmax without the rounding of z − max. The weights are w = e^(z − c) · 2^(60 − M), where c is the largest
// logit when |c| ≥ 256 and 0 otherwise, and M the largest exponent of a weight:
//
// - With |max| ≥ 256 every z that matters, z ≥ max − 120, is within a factor of two of max, and z − max is exact
//   (Sterbenz). With |max| < 256 nothing is subtracted and |z| < 376 is reduced by ln 2 as it stands.
// - The room of 2^60 makes every weight a normal number; below e^−120 of the largest, S rounds to 0 in any case.
//
// So each w has relative error below 1e-7, and S = w / Σw, with Σw in float64 but for the first sums of four, below
// 5e-7 (2.4e-7 measured). The bound that callers rely on is 1e-6.

// @ts-ignore: decorator
@inline
const ROOM: i32 = 60;

// @ts-ignore: decorator
@inline
function weightsOf(from: usize, count: i32, largest: f32, to: usize, keep: bool): f64 {
  const offset: f32 = abs(largest) >= 256 ? largest : 0;
  const shift = i32x4.splat(ROOM - exponentOf(largest - offset));
  const least = f32x4.splat(largest - offset - 120);
  const origin = f32x4.splat(offset);
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 16 <= count; i += 16) {
    const at = (<usize>i) << 2;
    const w0 = scaledExp(f32x4.pmax(least, f32x4.sub(v128.load(from + at), origin)), shift);
    const w1 = scaledExp(f32x4.pmax(least, f32x4.sub(v128.load(from + at, 16), origin)), shift);
    const w2 = scaledExp(f32x4.pmax(least, f32x4.sub(v128.load(from + at, 32), origin)), shift);
    const w3 = scaledExp(f32x4.pmax(least, f32x4.sub(v128.load(from + at, 48), origin)), shift);
    if (keep) {
      v128.store(to + at, w0);
      v128.store(to + at, w1, 16);
      v128.store(to + at, w2, 32);
      v128.store(to + at, w3, 48);
    }
    const sum = f32x4.add(f32x4.add(w0, w1), f32x4.add(w2, w3));
    low = f64x2.add(low, promoteLow(sum));
    high = f64x2.add(high, promoteHigh(sum));
  }
  for (; i + 4 <= count; i += 4) {
    const at = (<usize>i) << 2;
    const w = scaledExp(f32x4.pmax(least, f32x4.sub(v128.load(from + at), origin)), shift);
    if (keep) v128.store(to + at, w);
    low = f64x2.add(low, promoteLow(w));
    high = f64x2.add(high, promoteHigh(w));
  }
  if (i < count) {
    const at = (<usize>i) << 2;
    const z = loadPartial(from + at, count - i, -Infinity);
    const w = scaledExp(f32x4.pmax(least, f32x4.sub(z, origin)), shift);
    if (keep) storePartial(to + at, w, count - i);
    low = f64x2.add(low, promoteLow(w));
    high = f64x2.add(high, promoteHigh(w));
  }
  return sumLanes64(f64x2.add(low, high));
}

/** Writes the weights of a row of `count` logits, whose largest is `largest`, to `to`; returns their sum. */
export function softmaxWeights(from: usize, count: i32, largest: f32, to: usize): f64 {
  return weightsOf(from, count, largest, to, true);
}

/** The sum alone. */
export function softmaxWeightSum(from: usize, count: i32, largest: f32): f64 {
  return weightsOf(from, count, largest, 0, false);
}

/** The weight of one logit of that row, the same number as in {@link softmaxWeights}. */
export function softmaxWeight(z: f32, largest: f32): f32 {
  const offset: f32 = abs(largest) >= 256 ? largest : 0;
  const shift = i32x4.splat(ROOM - exponentOf(largest - offset));
  return f32x4.extract_lane(scaledExp(f32x4.splat(max(z - offset, largest - offset - 120)), shift), 0);
}

/** log Σ e^(z − largest) from the sum of the weights: the room and the shift of the exponents taken back. */
export function logRelativeSum(weightSum: f64, largest: f32): f64 {
  const offset: f32 = abs(largest) >= 256 ? largest : 0;
  const shift = <f64>(ROOM - exponentOf(largest - offset));
  return hostLog(weightSum) - shift * 0.6931471805599453 - <f64>(largest - offset);
}

/** Multiplies `count` floats at `to` by `factor`. */
export function scaleRow(to: usize, count: i32, factor: f32): void {
  const lanes = f32x4.splat(factor);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const at = to + ((<usize>i) << 2);
    v128.store(at, f32x4.mul(v128.load(at), lanes));
  }
  for (; i < count; i++) {
    const at = to + ((<usize>i) << 2);
    store<f32>(at, load<f32>(at) * factor);
  }
}

/** Softmax of a row of `count` floats, finite or −∞, 0 where all are −∞; `to` may be `from`. */
export function softmaxRow(from: usize, count: i32, to: usize): void {
  const largest = largestOf(from, count);
  if (largest == -Infinity) {
    memory.fill(to, 0, (<usize>count) << 2);
    return;
  }
  const sum = softmaxWeights(from, count, largest, to);
  scaleRow(to, count, <f32>(1 / sum));
}
