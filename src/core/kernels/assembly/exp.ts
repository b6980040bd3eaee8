import { everyLane, everyLane64, promoteHigh, promoteLow, sumLanes64 } from "./lanes";

// e^x = 2^k · e^r with k the integer next to x/ln 2 and |r| ≤ ln 2 / 2. Adding 1.5·2^23 (1.5·2^52 in float64) to
// x/ln 2 rounds it to k and leaves k in the low bits of the sum, from where a shift puts it into the exponent field.
//
// The polynomials are minimax fits of (e^r − 1 − r) / r² for the relative error of e^r on |r| ≤ 0.3473:
// degree 6 in float32 (3.1e-9, so that rounding dominates) and degree 10 in float64 (3.0e-16).

// @ts-ignore: decorator
@inline
const LOG2E: f32 = 1.44269504;

// Constants in memory, for `everyLane`.
const POLYNOMIAL = memory.data<f32>([
  0.4999999337, 0.1666651952, 0.04166840113, 0.008368851036, 0.001381431744,
]);
// 2^r − 1, r in [−½, ½], degree 5.
const POLYNOMIAL2 = memory.data<f32>([0.6931469752, 0.2402223883, 0.05550736323, 0.009671725503, 0.001326445438]);
const POLYNOMIAL64 = memory.data<f64>([
  0.499999999999982908, 0.1666666666661067247, 0.04166666666815987685, 0.008333333371320474727,
  0.001388888851181186868, 0.0001984118456021694142, 0.00002480193439830747881, 2.763530076636610379e-6,
  2.747650419017687712e-7,
]);
const ROUND = memory.data<f32>([12582912]);
const ROUND64 = memory.data<f64>([6755399441055744]);
const PER_LN2 = memory.data<f32>([LOG2E]);
const PER_LN2_64 = memory.data<f64>([1.4426950408889634]);
// 355/512 has 9 bits, so that its product with |k| < 2^15 is exact.
const LN2_HIGH = memory.data<f32>([0.693359375]);
const LN2_LOW = memory.data<f32>([-2.12194440e-4]);
const LN2_64 = memory.data<f64>([0.6931471805599453]);
// Short enough for an exact product with k.
const LN2_HIGH64 = memory.data<f64>([0.693147180369123816490]);
const LN2_LOW64 = memory.data<f64>([1.90821492927058770002e-10]);
const ONE = memory.data<f32>([1]);
const ONE64 = memory.data<f64>([1]);
const LEAST64 = memory.data<f64>([-708]);

// @ts-ignore: decorator
@inline
function coefficient(degree: usize): v128 {
  return everyLane(POLYNOMIAL + ((degree - 2) << 2));
}

// @ts-ignore: decorator
@inline
function coefficient64(degree: usize): v128 {
  return everyLane64(POLYNOMIAL64 + ((degree - 2) << 3));
}

/**
 * e^r · 2^k for |r| ≤ ln 2 / 2 and k in the low 9 bits of each lane, as int32. Horner's rule, since what other forms gain
 * in shorter chains they lose in registers.
 */
// @ts-ignore: decorator
@inline
function scaledPolynomial(r: v128, k: v128): v128 {
  let sum = f32x4.add(f32x4.mul(r, coefficient(6)), coefficient(5));
  sum = f32x4.add(f32x4.mul(r, sum), coefficient(4));
  sum = f32x4.add(f32x4.mul(r, sum), coefficient(3));
  sum = f32x4.add(f32x4.mul(r, sum), coefficient(2));
  sum = f32x4.add(f32x4.mul(r, sum), everyLane(ONE));
  sum = f32x4.add(f32x4.mul(r, sum), everyLane(ONE));
  return i32x4.add(sum, i32x4.shl(k, 23));
}

/** 2^y on four lanes, y in [−126, 127]; relative error below 2.5e-7. */
// @ts-ignore: decorator
@inline
export function exp2(y: v128): v128 {
  const rounded = f32x4.add(y, everyLane(ROUND));
  const r = f32x4.sub(y, f32x4.sub(rounded, everyLane(ROUND)));
  let sum = f32x4.add(f32x4.mul(r, everyLane(POLYNOMIAL2 + 16)), everyLane(POLYNOMIAL2 + 12));
  sum = f32x4.add(f32x4.mul(r, sum), everyLane(POLYNOMIAL2 + 8));
  sum = f32x4.add(f32x4.mul(r, sum), everyLane(POLYNOMIAL2 + 4));
  sum = f32x4.add(f32x4.mul(r, sum), everyLane(POLYNOMIAL2));
  sum = f32x4.add(f32x4.mul(r, sum), everyLane(ONE));
  return i32x4.add(sum, i32x4.shl(rounded, 23));
}

/**
 * e^x · 2^s on four lanes, `s` int32; relative error below 1e-7 (8.2e-8, one unit in the last place, measured over 2^21
 * points). |x| ≤ 2^14, and the result must be a normal float32: clamp x first and choose s to make room.
 */
// @ts-ignore: decorator
@inline
export function scaledExp(x: v128, s: v128): v128 {
  const rounded = f32x4.add(f32x4.mul(x, everyLane(PER_LN2)), everyLane(ROUND));
  const k = f32x4.sub(rounded, everyLane(ROUND));
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(k, everyLane(LN2_HIGH))), f32x4.mul(k, everyLane(LN2_LOW)));
  return scaledPolynomial(r, i32x4.add(rounded, s));
}

/** The integer next to x / ln 2, as {@link scaledExp} rounds it. */
// @ts-ignore: decorator
@inline
export function exponentOf(x: f32): i32 {
  return <i32>nearest(x * LOG2E);
}

/**
 * e^x · 2^60 in float32 of four exponents in float64, x ≤ 0, to relative error 1e-7 however large |x| is before the
 * caller's subtraction: only the reduced argument is rounded to float32. Below e^−120 the result stays at e^−120 ·
 * 2^60, which times 2^−60 rounds to 0. The room of 2^60 keeps what becomes a denormal number precise until then.
 */
// @ts-ignore: decorator
@inline
export function wideExp(low: v128, high: v128): v128 {
  const least = f64x2.splat(-120);
  const x0 = f64x2.pmax(least, low);
  const x1 = f64x2.pmax(least, high);
  const rounded0 = f64x2.add(f64x2.mul(x0, everyLane64(PER_LN2_64)), everyLane64(ROUND64));
  const rounded1 = f64x2.add(f64x2.mul(x1, everyLane64(PER_LN2_64)), everyLane64(ROUND64));
  const k0 = f64x2.sub(rounded0, everyLane64(ROUND64));
  const k1 = f64x2.sub(rounded1, everyLane64(ROUND64));
  const r0 = f64x2.sub(x0, f64x2.mul(k0, everyLane64(LN2_64)));
  const r1 = f64x2.sub(x1, f64x2.mul(k1, everyLane64(LN2_64)));
  const r = v128.shuffle<i64>(f32x4.demote_f64x2_zero(r0), f32x4.demote_f64x2_zero(r1), 0, 2);
  const k = v128.shuffle<i32>(rounded0, rounded1, 0, 2, 4, 6);
  return scaledPolynomial(r, i32x4.add(k, i32x4.splat(60)));
}

/** 2^−60, which undoes the room that {@link wideExp} makes. */
// @ts-ignore: decorator
@inline
export const UNSCALE: f32 = 8.673617379884035e-19;

/** e^x on two float64 lanes, x ≤ 709; relative error below 1e-15 (4.5e-16 measured), and 3e-308 for x below −708. */
// @ts-ignore: decorator
@inline
export function clampedExp64(x: v128): v128 {
  const clamped = f64x2.pmax(everyLane64(LEAST64), x);
  const rounded = f64x2.add(f64x2.mul(clamped, everyLane64(PER_LN2_64)), everyLane64(ROUND64));
  const k = f64x2.sub(rounded, everyLane64(ROUND64));
  const r = f64x2.sub(
    f64x2.sub(clamped, f64x2.mul(k, everyLane64(LN2_HIGH64))),
    f64x2.mul(k, everyLane64(LN2_LOW64)),
  );
  const square = f64x2.mul(r, r);
  const fourth = f64x2.mul(square, square);
  const p0 = f64x2.add(f64x2.mul(r, coefficient64(3)), coefficient64(2));
  const p1 = f64x2.add(f64x2.mul(r, coefficient64(5)), coefficient64(4));
  const p2 = f64x2.add(f64x2.mul(r, coefficient64(7)), coefficient64(6));
  const p3 = f64x2.add(f64x2.mul(r, coefficient64(9)), coefficient64(8));
  const p4 = coefficient64(10);
  const low = f64x2.add(p0, f64x2.mul(square, p1));
  const middle = f64x2.add(p2, f64x2.mul(square, p3));
  const quotient = f64x2.add(low, f64x2.mul(fourth, f64x2.add(middle, f64x2.mul(fourth, p4))));
  const polynomial = f64x2.add(f64x2.add(f64x2.mul(square, quotient), r), everyLane64(ONE64));
  const power = i64x2.shl(i64x2.add(rounded, i64x2.splat(1023)), 52);
  return f64x2.mul(polynomial, power);
}

/** The same, but 0 below −708. */
// @ts-ignore: decorator
@inline
export function exp64(x: v128): v128 {
  return v128.and(clampedExp64(x), f64x2.ge(x, everyLane64(LEAST64)));
}

/**
 * 1 / (1 + e^−x) on four lanes, relative error below 3e-7 (1.5e-7 measured), denormal results to one unit in the last
 * place.
 */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  // Above 40 the result is 1 and below −110 it is 0. Between, e^−x · 2^−60 neither overflows nor is denormal.
  const clamped = f32x4.pmin(f32x4.splat(110), f32x4.pmax(f32x4.splat(-40), f32x4.neg(x)));
  const unit = f32x4.splat(UNSCALE);
  return f32x4.div(unit, f32x4.add(unit, scaledExp(clamped, i32x4.splat(-60))));
}

/**
 * 2^60 / (1 + e^−x) on four lanes, to the same error but with no denormal results: 0 below −130. Divided by a sum that
 * is at least 2^60 · e^−40 all that is a normal number keeps its precision.
 */
// @ts-ignore: decorator
@inline
export function wideSigmoid(x: v128): v128 {
  const clamped = f32x4.pmin(f32x4.splat(130), f32x4.pmax(f32x4.splat(-40), f32x4.neg(x)));
  const inverse = f32x4.add(f32x4.splat(UNSCALE), scaledExp(clamped, i32x4.splat(-60)));
  return v128.and(f32x4.div(f32x4.splat(1), inverse), f32x4.gt(x, f32x4.splat(-130)));
}

/** 1 / (1 + e^−x) on two float64 lanes, relative error below 2e-15; 0 below −708. */
// @ts-ignore: decorator
@inline
export function sigmoid64(x: v128): v128 {
  const one = everyLane64(ONE64);
  const w = exp64(f64x2.neg(f64x2.abs(x)));
  return f64x2.div(v128.bitselect(w, one, f64x2.lt(x, f64x2.splat(0))), f64x2.add(one, w));
}

// √softplus. With h = e^(−|x|/2), w = h² and t = w/(2 + w) ≤ 1/3 the logarithm log(1 + w) is w·R, R = 2/(2 + w) · P(t²),
// P(s) = Σ s^j/(2j + 1), artanh's series: eight terms in float32 and sixteen in float64 leave less than a rounding. So
// √softplus(x) is √(x + w·R) for x > 0 and h·√R below, where nothing cancels and w may underflow.

const ARTANH = memory.data<f32>([1, 0.33333333, 0.2, 0.14285714, 0.11111111, 0.09090909, 0.07692308, 0.06666667]);
const ARTANH64 = memory.data<f64>([
  1, 0.3333333333333333, 0.2, 0.14285714285714285, 0.1111111111111111, 0.09090909090909091, 0.07692307692307693,
  0.06666666666666667, 0.058823529411764705, 0.05263157894736842, 0.047619047619047616, 0.043478260869565216, 0.04,
  0.037037037037037035, 0.034482758620689655, 0.03225806451612903,
]);

/** √log(1 + e^x) on four lanes, relative error below 5e-7, denormal results to one unit in the last place; −∞ gives 0. */
// @ts-ignore: decorator
@inline
export function sqrtSoftplus(x: v128): v128 {
  const unit = f32x4.splat(UNSCALE);
  const half = f32x4.pmax(f32x4.splat(-110), f32x4.mul(f32x4.splat(-0.5), f32x4.abs(x)));
  const wide = scaledExp(half, i32x4.splat(60));
  const h = f32x4.mul(wide, unit);
  const w = f32x4.mul(h, h);
  const inverse = f32x4.div(everyLane(ONE), f32x4.add(w, f32x4.splat(2)));
  const t = f32x4.mul(w, inverse);
  const square = f32x4.mul(t, t);
  let sum = everyLane(ARTANH + 28);
  for (let at: usize = 28; at > 0; at -= 4) sum = f32x4.add(f32x4.mul(sum, square), everyLane(ARTANH + at - 4));
  const r = f32x4.mul(f32x4.add(inverse, inverse), sum);
  const above = f32x4.sqrt(f32x4.add(x, f32x4.mul(w, r)));
  const below = f32x4.mul(f32x4.mul(wide, f32x4.sqrt(r)), unit);
  return v128.bitselect(above, below, f32x4.gt(x, f32x4.splat(0)));
}

/** The same on two float64 lanes, relative error below 2e-15; 0 below −1416. */
// @ts-ignore: decorator
@inline
export function sqrtSoftplus64(x: v128): v128 {
  const h = exp64(f64x2.mul(f64x2.splat(-0.5), f64x2.abs(x)));
  const w = f64x2.mul(h, h);
  const inverse = f64x2.div(everyLane64(ONE64), f64x2.add(w, f64x2.splat(2)));
  const t = f64x2.mul(w, inverse);
  const square = f64x2.mul(t, t);
  let sum = everyLane64(ARTANH64 + 120);
  for (let at: usize = 120; at > 0; at -= 8) sum = f64x2.add(f64x2.mul(sum, square), everyLane64(ARTANH64 + at - 8));
  const r = f64x2.mul(f64x2.add(inverse, inverse), sum);
  const above = f64x2.sqrt(f64x2.add(x, f64x2.mul(w, r)));
  return v128.bitselect(above, f64x2.mul(h, f64x2.sqrt(r)), f64x2.gt(x, f64x2.splat(0)));
}

/** Σ e^(z − shift) in float64 over `count` floats at `from`; shift at least their largest. */
export function sumExp64(from: usize, count: i32, shift: f64): f64 {
  const offset = f64x2.splat(shift);
  let low = f64x2.splat(0);
  let high = low;
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const z = v128.load(from + ((<usize>i) << 2));
    low = f64x2.add(low, clampedExp64(f64x2.sub(promoteLow(z), offset)));
    high = f64x2.add(high, clampedExp64(f64x2.sub(promoteHigh(z), offset)));
  }
  let sum = sumLanes64(f64x2.add(low, high));
  for (; i < count; i++) {
    const x = <f64>load<f32>(from + ((<usize>i) << 2)) - shift;
    sum += f64x2.extract_lane(clampedExp64(f64x2.splat(x)), 0);
  }
  return sum;
}
