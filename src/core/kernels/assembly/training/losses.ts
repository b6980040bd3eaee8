import { largestOf, loadPartial, promoteHigh, promoteLow, storePartial, sumLanes64 } from "../lanes";
import { logRelativeSum, scaleRow, softmaxWeights } from "../softmax";

/** 0 if all `count` floats are finite, else NaN: the exponents of a softmax leave out what is not a number. */
function zeroIfFinite(from: usize, count: i32): f32 {
  let lanes = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    lanes = f32x4.add(lanes, f32x4.mul(f32x4.splat(0), v128.load(from + ((<usize>i) << 2))));
  }
  if (i < count) {
    lanes = f32x4.add(lanes, f32x4.mul(f32x4.splat(0), loadPartial(from + ((<usize>i) << 2), count - i, 0)));
  }
  const low = f32x4.extract_lane(lanes, 0) + f32x4.extract_lane(lanes, 1);
  return low + f32x4.extract_lane(lanes, 2) + f32x4.extract_lane(lanes, 3);
}

export function crossEntropy(logits: usize, target: usize, rows: i32, columns: i32, gradient: usize): f64 {
  const width = (<usize>columns) << 2;
  const share: f32 = 1 / <f32>rows;
  let sum: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const from = logits + <usize>row * width;
    const to = gradient + <usize>row * width;
    const at = (<usize>load<i32>(target + ((<usize>row) << 2))) << 2;
    const finite = zeroIfFinite(from, columns);
    const largest = largestOf(from, columns);
    const distance = <f64>load<f32>(from + at) - <f64>largest;
    const weightSum = softmaxWeights(from, columns, largest, to);
    sum += logRelativeSum(weightSum, largest) - distance + <f64>finite;
    scaleRow(to, columns, <f32>(1 / (weightSum * <f64>rows)));
    store<f32>(to + at, load<f32>(to + at) - share);
  }
  return sum / <f64>rows;
}

// @ts-ignore: decorator
@inline
function addSquare(sum: v128, value: v128): v128 {
  return f64x2.add(sum, f64x2.mul(value, value));
}

export function squaredError(values: usize, targets: usize, length: i32, gradient: usize): f64 {
  const factor = f32x4.splat(2 / <f32>length);
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const at = (<usize>i) << 2;
    const error = f32x4.sub(v128.load(values + at), v128.load(targets + at));
    v128.store(gradient + at, f32x4.mul(factor, error));
    low = addSquare(low, promoteLow(error));
    high = addSquare(high, promoteHigh(error));
  }
  if (i < length) {
    const at = (<usize>i) << 2;
    const error = f32x4.sub(loadPartial(values + at, length - i, 0), loadPartial(targets + at, length - i, 0));
    storePartial(gradient + at, f32x4.mul(factor, error), length - i);
    low = addSquare(low, promoteLow(error));
    high = addSquare(high, promoteHigh(error));
  }
  return sumLanes64(f64x2.add(low, high)) / <f64>length;
}
