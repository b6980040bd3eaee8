import { storePartial } from "./lanes";

// Box–Muller on four lanes, fed by four interleaved xoshiro128++ generators (Blackman & Vigna 2019): each of the four
// state words is one vector.

/** −2 ln u of four uniforms in (0, 1], relative error below 4e-7. */
// @ts-ignore: decorator
@inline
function minusTwoLog(u: v128): v128 {
  // u = 2^k · m with m in [√½, √2), and ln m = 2·artanh(s), s = (m − 1)/(m + 1), by a minimax fit in s².
  const shifted = i32x4.sub(u, i32x4.splat(0x3f3504f3));
  const k = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23));
  const m = i32x4.add(v128.and(shifted, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const s = f32x4.div(f32x4.sub(m, f32x4.splat(1)), f32x4.add(m, f32x4.splat(1)));
  const square = f32x4.mul(s, s);
  const high = f32x4.add(f32x4.mul(square, f32x4.splat(0.2987215319)), f32x4.splat(0.3997752704));
  const series = f32x4.mul(square, f32x4.add(f32x4.mul(square, high), f32x4.splat(0.6666677649)));
  const log = f32x4.add(f32x4.add(s, s), f32x4.mul(s, series));
  return f32x4.mul(f32x4.splat(-2), f32x4.add(f32x4.mul(k, f32x4.splat(0.69314718)), log));
}

// @ts-ignore: decorator
@inline
function rotateLeft(x: v128, by: i32): v128 {
  return v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by));
}

/** See `Kernels.fillNormal`. `length` normals at `out`, rounds of eight; `state` is 64 bytes. */
export function fillNormal(state: usize, out: usize, length: i32): void {
  let s0 = v128.load(state);
  let s1 = v128.load(state, 16);
  let s2 = v128.load(state, 32);
  let s3 = v128.load(state, 48);
  for (let i = 0; i < length; i += 8) {
    const word0 = i32x4.add(rotateLeft(i32x4.add(s0, s3), 7), s0);
    let carried = i32x4.shl(s1, 9);
    s2 = v128.xor(s2, s0);
    s3 = v128.xor(s3, s1);
    s1 = v128.xor(s1, s2);
    s0 = v128.xor(s0, s3);
    s2 = v128.xor(s2, carried);
    s3 = rotateLeft(s3, 11);
    const word1 = i32x4.add(rotateLeft(i32x4.add(s0, s3), 7), s0);
    carried = i32x4.shl(s1, 9);
    s2 = v128.xor(s2, s0);
    s3 = v128.xor(s3, s1);
    s1 = v128.xor(s1, s2);
    s0 = v128.xor(s0, s3);
    s2 = v128.xor(s2, carried);
    s3 = rotateLeft(s3, 11);

    const uniform = f32x4.mul(
      f32x4.add(f32x4.convert_i32x4_u(word0), f32x4.splat(1)),
      f32x4.splat(2.3283064365386963e-10),
    );
    const radius = f32x4.sqrt(minusTwoLog(uniform));

    // The angle in turns, in [−½, ½], split into quarter turns q and a rest |f| ≤ ⅛ of a turn; both steps are exact.
    const turns = f32x4.mul(f32x4.convert_i32x4_s(word1), f32x4.splat(2.3283064365386963e-10));
    const rounded = f32x4.add(f32x4.mul(turns, f32x4.splat(4)), f32x4.splat(12582912));
    const f = f32x4.sub(turns, f32x4.mul(f32x4.sub(rounded, f32x4.splat(12582912)), f32x4.splat(0.25)));
    const square = f32x4.mul(f, f);
    // Minimax fits of sin(2πf)/f and cos(2πf) in f²; errors 3e-9 and 3e-8.
    let sine = f32x4.add(f32x4.mul(square, f32x4.splat(-75.40206766)), f32x4.splat(81.59255354));
    sine = f32x4.add(f32x4.mul(square, sine), f32x4.splat(-41.34166263));
    sine = f32x4.mul(f, f32x4.add(f32x4.mul(square, sine), f32x4.splat(6.283185288)));
    let cosine = f32x4.add(f32x4.mul(square, f32x4.splat(-83.66592123)), f32x4.splat(64.92322865));
    cosine = f32x4.add(f32x4.mul(square, cosine), f32x4.splat(-19.73916726));
    cosine = f32x4.add(f32x4.mul(square, cosine), f32x4.splat(1));
    // An odd quarter exchanges sine and cosine. Their signs: cosine minus for q = 1, 2, sine minus for q = 2, 3.
    const odd = i32x4.shr_s(i32x4.shl(rounded, 31), 31);
    const cosineSign = v128.and(i32x4.shl(i32x4.add(rounded, i32x4.splat(1)), 30), i32x4.splat(0x80000000));
    const sineSign = v128.and(i32x4.shl(rounded, 30), i32x4.splat(0x80000000));
    const first = f32x4.mul(radius, v128.xor(v128.bitselect(sine, cosine, odd), cosineSign));
    const second = f32x4.mul(radius, v128.xor(v128.bitselect(cosine, sine, odd), sineSign));

    const to = out + ((<usize>i) << 2);
    if (i + 8 <= length) {
      v128.store(to, first);
      v128.store(to, second, 16);
    } else {
      storeRest(to, first, second, length - i);
    }
  }
  v128.store(state, s0);
  v128.store(state, s1, 16);
  v128.store(state, s2, 32);
  v128.store(state, s3, 48);
}

function storeRest(to: usize, first: v128, second: v128, count: i32): void {
  if (count >= 4) v128.store(to, first);
  else storePartial(to, first, count);
  if (count > 4) storePartial(to + 16, second, count - 4);
}
