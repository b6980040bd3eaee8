import { sigmoidAffinities, sqrtSoftplusAffinities } from "./affinities";
import { hostExp, hostLog1p } from "./host";
import { SIGMOID, SOFTMAX } from "./kinds";
import { largestOf, promoteHigh, promoteLow, sumLanes64 } from "./lanes";
import { softmaxWeights } from "./softmax";

// Of a softmax four rows at a time, from the softmax's weights of each: p = w / Σw, the expectation x_t = Σ_e d_e·p_te of the centred
// loads d, and Σ_t p_te·(d_e − x_t) over the four, in float32, which is added to the gradient in float64.

/** Bytes of scratch that {@link loadGradient} needs: for a softmax the centred loads and the weights of four rows. */
export function loadGradientScratch(experts: i32): usize {
  return 20 * (<usize>experts);
}

/** Writes load − mean of the loads in float32. */
function centredLoads(loads: usize, experts: i32, to: usize): void {
  let pairs: f64 = 0;
  for (let e: usize = 0; e < <usize>experts; e++) pairs += <f64>load<i32>(loads + (e << 2));
  const mean = pairs / <f64>experts;
  for (let e: usize = 0; e < <usize>experts; e++) {
    store<f32>(to + (e << 2), <f32>(<f64>load<i32>(loads + (e << 2)) - mean));
  }
}

/** Σ_i left[i] · right[i] over `count` floats: float32 sums of four products, float64 sums of those. */
function product(left: usize, right: usize, count: i32): f64 {
  let low = f64x2.splat(0);
  let high = low;
  let i = 0;
  for (; i + 16 <= count; i += 16) {
    const at = (<usize>i) << 2;
    const a = f32x4.mul(v128.load(left + at), v128.load(right + at));
    const b = f32x4.mul(v128.load(left + at, 16), v128.load(right + at, 16));
    const c = f32x4.mul(v128.load(left + at, 32), v128.load(right + at, 32));
    const d = f32x4.mul(v128.load(left + at, 48), v128.load(right + at, 48));
    const sum = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
    low = f64x2.add(low, promoteLow(sum));
    high = f64x2.add(high, promoteHigh(sum));
  }
  let sum = sumLanes64(f64x2.add(low, high));
  for (; i < count; i++) {
    const at = (<usize>i) << 2;
    sum += <f64>(load<f32>(left + at) * load<f32>(right + at));
  }
  return sum;
}

/** Turns a row of logits into its softmax at `to` up to the factor 1 / Σ, which it returns. */
// @ts-ignore: decorator
@inline
function inverseSum(row: usize, experts: i32, to: usize): f32 {
  const largest = largestOf(row, experts);
  if (largest == -Infinity) {
    memory.fill(to, 0, (<usize>experts) << 2);
    return 0;
  }
  return <f32>(1 / softmaxWeights(row, experts, largest, to));
}

/** x of a row, in all lanes. */
// @ts-ignore: decorator
@inline
function expectation(weights: usize, centred: usize, experts: i32, inverse: f32): v128 {
  return f32x4.splat(<f32>(<f64>inverse * product(weights, centred, experts)));
}

/** Four experts' terms of one row. */
// @ts-ignore: decorator
@inline
function terms(weights: usize, inverse: v128, centred: v128, expected: v128): v128 {
  return f32x4.mul(f32x4.mul(v128.load(weights), inverse), f32x4.sub(centred, expected));
}

// @ts-ignore: decorator
@inline
function term(weights: usize, inverse: v128, centred: f32, expected: v128): f32 {
  return load<f32>(weights) * f32x4.extract_lane(inverse, 0) * (centred - f32x4.extract_lane(expected, 0));
}

/** See `Kernels.loadGradient`. */
export function loadGradient(
  logits: usize,
  kind: i32,
  loads: usize,
  tokens: i32,
  experts: i32,
  gradient: usize,
  scratch: usize,
): void {
  memory.fill(gradient, 0, (<usize>experts) << 3);
  if (kind == SOFTMAX) softmaxGradient(logits, loads, tokens, experts, gradient, scratch);
  else entrywiseGradient(logits, kind == SIGMOID, loads, tokens, experts, gradient, scratch);
}

function softmaxGradient(
  logits: usize,
  loads: usize,
  tokens: i32,
  experts: i32,
  gradient: usize,
  scratch: usize,
): void {
  const width = (<usize>experts) << 2;
  const whole = width & ~15;
  const centred = scratch;
  const w0 = scratch + width;
  const w1 = w0 + width;
  const w2 = w1 + width;
  const w3 = w2 + width;
  centredLoads(loads, experts, centred);
  for (let t = 0; t < tokens; t += 4) {
    const row = logits + (<usize>t) * width;
    const rows = tokens - t;
    // Rows past the last are the last one again, with a factor of 0.
    const i0 = inverseSum(row, experts, w0);
    const i1 = inverseSum(rows > 1 ? row + width : row, experts, w1);
    const i2 = inverseSum(rows > 2 ? row + 2 * width : row, experts, w2);
    const i3 = inverseSum(rows > 3 ? row + 3 * width : row, experts, w3);
    const x0 = expectation(w0, centred, experts, i0);
    const x1 = expectation(w1, centred, experts, i1);
    const x2 = expectation(w2, centred, experts, i2);
    const x3 = expectation(w3, centred, experts, i3);
    const f0 = f32x4.splat(i0);
    const f1 = f32x4.splat(rows > 1 ? i1 : 0);
    const f2 = f32x4.splat(rows > 2 ? i2 : 0);
    const f3 = f32x4.splat(rows > 3 ? i3 : 0);
    let at: usize = 0;
    for (; at < whole; at += 16) {
      const d = v128.load(centred + at);
      const sum = f32x4.add(
        f32x4.add(terms(w0 + at, f0, d, x0), terms(w1 + at, f1, d, x1)),
        f32x4.add(terms(w2 + at, f2, d, x2), terms(w3 + at, f3, d, x3)),
      );
      const to = gradient + 2 * at;
      v128.store(to, f64x2.add(v128.load(to), promoteLow(sum)));
      v128.store(to, f64x2.add(v128.load(to, 16), promoteHigh(sum)), 16);
    }
    for (; at < width; at += 4) {
      const d = load<f32>(centred + at);
      const sum =
        term(w0 + at, f0, d, x0) + term(w1 + at, f1, d, x1) + (term(w2 + at, f2, d, x2) + term(w3 + at, f3, d, x3));
      const to = gradient + 2 * at;
      store<f64>(to, load<f64>(to) + <f64>sum);
    }
  }
}

/** Below this logit the slope of log √softplus is 1/2. */
// @ts-ignore: decorator
@inline
const SOFTPLUS_TAIL: f64 = -40;

/** ∂log S/∂Z, with the bits of the reference. */
function logScoreSlope(logit: f64, isSigmoid: bool): f64 {
  if (isSigmoid) return 1 / (1 + hostExp(logit));
  if (logit < SOFTPLUS_TAIL) return 0.5;
  const small = hostExp(-abs(logit));
  const softplus = max(logit, 0) + hostLog1p(small);
  return 1 / (2 * softplus * (1 + (logit < 0 ? hostExp(-logit) : small)));
}

/** All sums are taken in order, in float64. */
function entrywiseGradient(
  logits: usize,
  isSigmoid: bool,
  loads: usize,
  tokens: i32,
  experts: i32,
  gradient: usize,
  share: usize,
): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    if (isSigmoid) sigmoidAffinities(row, experts, share);
    else sqrtSoftplusAffinities(row, experts, share);
    let sum: f64 = 0;
    for (let e: usize = 0; e < <usize>experts; e++) sum += load<f64>(share + (e << 3));
    if (sum == 0) continue;
    let mean: f64 = 0;
    for (let e: usize = 0; e < <usize>experts; e++) {
      const own = load<f64>(share + (e << 3)) / sum;
      store<f64>(share + (e << 3), own);
      mean += <f64>load<i32>(loads + (e << 2)) * own;
    }
    for (let e: usize = 0; e < <usize>experts; e++) {
      const own = load<f64>(share + (e << 3));
      if (own == 0) continue;
      const slope = logScoreSlope(<f64>load<f32>(row + (e << 2)), isSigmoid);
      const to = gradient + (e << 3);
      store<f64>(to, load<f64>(to) + own * slope * (<f64>load<i32>(loads + (e << 2)) - mean));
    }
  }
}
