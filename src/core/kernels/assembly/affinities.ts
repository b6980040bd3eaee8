import { exp64, sigmoid64, sqrtSoftplus64 } from "./exp";
import { largestOf, promoteHigh, promoteLow, sumLanes64 } from "./lanes";

// S in float64, of logits that are widened exactly.

/** See `Kernels.affinities`; `out` is float64 in all three. */
export function logitAffinities(logits: usize, entries: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= entries; i += 4) {
    const z = v128.load(logits + ((<usize>i) << 2));
    const to = out + ((<usize>i) << 3);
    v128.store(to, promoteLow(z));
    v128.store(to, promoteHigh(z), 16);
  }
  for (; i < entries; i++) store<f64>(out + ((<usize>i) << 3), <f64>load<f32>(logits + ((<usize>i) << 2)));
}

/** `sigmoid64` or `sqrtSoftplus64`, a constant at each call. */
// @ts-ignore: decorator
@inline
function affinityOf(z: v128, isSigmoid: bool): v128 {
  return isSigmoid ? sigmoid64(z) : sqrtSoftplus64(z);
}

// @ts-ignore: decorator
@inline
function entrywiseAffinities(logits: usize, entries: i32, out: usize, isSigmoid: bool): void {
  let i = 0;
  for (; i + 4 <= entries; i += 4) {
    const z = v128.load(logits + ((<usize>i) << 2));
    const to = out + ((<usize>i) << 3);
    v128.store(to, affinityOf(promoteLow(z), isSigmoid));
    v128.store(to, affinityOf(promoteHigh(z), isSigmoid), 16);
  }
  for (; i < entries; i++) {
    const z = f64x2.splat(<f64>load<f32>(logits + ((<usize>i) << 2)));
    store<f64>(out + ((<usize>i) << 3), f64x2.extract_lane(affinityOf(z, isSigmoid), 0));
  }
}

export function sigmoidAffinities(logits: usize, entries: i32, out: usize): void {
  entrywiseAffinities(logits, entries, out, true);
}

export function sqrtSoftplusAffinities(logits: usize, entries: i32, out: usize): void {
  entrywiseAffinities(logits, entries, out, false);
}

export function softmaxAffinities(logits: usize, tokens: i32, experts: i32, out: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) softmaxRow64(logits + t * width, experts, out + ((t * width) << 1));
}

function softmaxRow64(from: usize, experts: i32, to: usize): void {
  const largest = <f64>largestOf(from, experts);
  if (largest == -Infinity) {
    memory.fill(to, 0, (<usize>experts) << 3);
    return;
  }
  const origin = f64x2.splat(largest);
  let low = f64x2.splat(0);
  let high = low;
  let e = 0;
  for (; e + 4 <= experts; e += 4) {
    const z = v128.load(from + ((<usize>e) << 2));
    const at = to + ((<usize>e) << 3);
    const w0 = exp64(f64x2.sub(promoteLow(z), origin));
    const w1 = exp64(f64x2.sub(promoteHigh(z), origin));
    v128.store(at, w0);
    v128.store(at, w1, 16);
    low = f64x2.add(low, w0);
    high = f64x2.add(high, w1);
  }
  let sum = sumLanes64(f64x2.add(low, high));
  for (; e < experts; e++) {
    const x = f64x2.splat(<f64>load<f32>(from + ((<usize>e) << 2)) - largest);
    const w = f64x2.extract_lane(exp64(x), 0);
    store<f64>(to + ((<usize>e) << 3), w);
    sum += w;
  }
  const inverse = 1 / sum;
  const factor = f64x2.splat(inverse);
  for (e = 0; e + 2 <= experts; e += 2) {
    const at = to + ((<usize>e) << 3);
    v128.store(at, f64x2.mul(v128.load(at), factor));
  }
  if (e < experts) store<f64>(to + ((<usize>e) << 3), load<f64>(to + ((<usize>e) << 3)) * inverse);
}
