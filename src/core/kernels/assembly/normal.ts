import { loadPartial, storePartial } from "./lanes";

// Box–Muller on four lanes, fed by four interleaved xoshiro128++ generators (Blackman & Vigna 2019): each of the four
// state words is one vector. A round draws two vectors. The rounds of a block go through three short loops, whose
// constants then fit the registers, which is nearly twice as fast as one loop.

/** Rounds of eight numbers in a block. */
// @ts-ignore: decorator
@inline
const BLOCK: i32 = 64;

/** Bytes of scratch that {@link fillNormal} and {@link addNormal} need: one block. */
export function normalScratch(): usize {
  return BLOCK << 5;
}

// @ts-ignore: decorator
@inline
function rotateLeft(x: v128, by: i32): v128 {
  return v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by));
}

/** The first loop: two words of each generator a round. `state` is 64 bytes. */
function drawWords(state: usize, rounds: i32, to: usize): void {
  let s0 = v128.load(state);
  let s1 = v128.load(state, 16);
  let s2 = v128.load(state, 32);
  let s3 = v128.load(state, 48);
  const end = to + ((<usize>rounds) << 5);
  for (let at = to; at < end; at += 16) {
    v128.store(at, i32x4.add(rotateLeft(i32x4.add(s0, s3), 7), s0));
    const carried = i32x4.shl(s1, 9);
    s2 = v128.xor(s2, s0);
    s3 = v128.xor(s3, s1);
    s1 = v128.xor(s1, s2);
    s0 = v128.xor(s0, s3);
    s2 = v128.xor(s2, carried);
    s3 = rotateLeft(s3, 11);
  }
  v128.store(state, s0);
  v128.store(state, s1, 16);
  v128.store(state, s2, 32);
  v128.store(state, s3, 48);
}

/** −2 ln(v / 2^31) of four float32 in [1, 2^31], relative error below 4e-7. */
// @ts-ignore: decorator
@inline
function minusTwoLog(v: v128): v128 {
  // v / 2^31 = 2^k · m with m in [√½, √2), and ln m = 2·artanh(s), s = (m − 1)/(m + 1), by a minimax fit in s².
  const shifted = i32x4.sub(v, i32x4.splat(0x3f3504f3 + (31 << 23)));
  const k = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23));
  const m = i32x4.add(v128.and(shifted, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  const s = f32x4.div(f32x4.sub(m, f32x4.splat(1)), f32x4.add(m, f32x4.splat(1)));
  const square = f32x4.mul(s, s);
  const high = f32x4.add(f32x4.mul(square, f32x4.splat(-0.5974430638)), f32x4.splat(-0.7995505408));
  const series = f32x4.add(f32x4.mul(square, high), f32x4.splat(-1.3333355298));
  const log = f32x4.mul(s, f32x4.add(f32x4.mul(square, series), f32x4.splat(-4)));
  return f32x4.add(f32x4.mul(k, f32x4.splat(-1.38629436)), log);
}

/** The second loop: the first words of the rounds become radii, of uniforms in (0, 1] with 31 bits. */
function wordsToRadii(block: usize, rounds: i32): void {
  const end = block + ((<usize>rounds) << 5);
  for (let at = block; at < end; at += 32) {
    const bits = i32x4.shr_u(v128.load(at), 1);
    v128.store(at, f32x4.sqrt(minusTwoLog(f32x4.add(f32x4.convert_i32x4_s(bits), f32x4.splat(1)))));
  }
}

/** The third loop: radii and second words become normals. */
function radiiToNormals(block: usize, rounds: i32): void {
  const end = block + ((<usize>rounds) << 5);
  for (let at = block; at < end; at += 32) {
    const radius = v128.load(at);
    const word = v128.load(at, 16);
    // 31 bits are the angle f in turns, |f| ≤ ¼; the highest is the sign of the cosine, which is not negative there.
    const f = f32x4.mul(f32x4.convert_i32x4_s(i32x4.shl(word, 1)), f32x4.splat(1.1641532182693481e-10));
    const square = f32x4.mul(f, f);
    // Minimax fits of sin(2πf)/f and cos(2πf) in f²; with coefficients rounded to float32 within 1e-7 of sine and cosine.
    let sine = f32x4.add(f32x4.mul(square, f32x4.splat(39.53670606)), f32x4.splat(-76.54978229));
    sine = f32x4.add(f32x4.mul(square, sine), f32x4.splat(81.60100407));
    sine = f32x4.add(f32x4.mul(square, sine), f32x4.splat(-41.34165503));
    sine = f32x4.mul(f, f32x4.add(f32x4.mul(square, sine), f32x4.splat(6.28318516)));
    let cosine = f32x4.add(f32x4.mul(square, f32x4.splat(-25.00679679)), f32x4.splat(60.14820497));
    cosine = f32x4.add(f32x4.mul(square, cosine), f32x4.splat(-85.45383071));
    cosine = f32x4.add(f32x4.mul(square, cosine), f32x4.splat(64.9393536));
    cosine = f32x4.add(f32x4.mul(square, cosine), f32x4.splat(-19.73920862));
    cosine = f32x4.add(f32x4.mul(square, cosine), f32x4.splat(1));
    const sign = v128.and(word, i32x4.splat(0x80000000));
    v128.store(at, f32x4.mul(radius, v128.xor(cosine, sign)));
    v128.store(at, f32x4.mul(radius, sine), 16);
  }
}

/** `rounds` rounds, in place. Inlined, its loops run a sixth faster than as a function of their own. */
// @ts-ignore: decorator
@inline
function drawBlock(state: usize, rounds: i32, block: usize): void {
  drawWords(state, rounds, block);
  wordsToRadii(block, rounds);
  radiiToNormals(block, rounds);
}

/** See `Kernels.fillNormal`. */
export function fillNormal(state: usize, out: usize, length: i32, block: usize): void {
  const whole = length >> 3;
  for (let round = 0; round < whole; round += BLOCK) {
    drawBlock(state, min(BLOCK, whole - round), out + ((<usize>round) << 5));
  }
  const rest = length & 7;
  if (rest == 0) return;
  drawBlock(state, 1, block);
  memory.copy(out + ((<usize>whole) << 5), block, (<usize>rest) << 2);
}

/** See `Kernels.addNormal`. */
export function addNormal(
  state: usize,
  values: usize,
  deviation: f32,
  length: i32,
  out: usize,
  block: usize,
): void {
  const scale = f32x4.splat(deviation);
  for (let start = 0; start < length; start += 8 * BLOCK) {
    const count = min(8 * BLOCK, length - start);
    drawBlock(state, (count + 7) >> 3, block);
    const from = values + ((<usize>start) << 2);
    const to = out + ((<usize>start) << 2);
    let i = 0;
    for (; i + 4 <= count; i += 4) {
      const at = (<usize>i) << 2;
      v128.store(to + at, f32x4.add(v128.load(from + at), f32x4.mul(scale, v128.load(block + at))));
    }
    const at = (<usize>i) << 2;
    const rest = loadPartial(from + at, count - i, 0);
    storePartial(to + at, f32x4.add(rest, f32x4.mul(scale, v128.load(block + at))), count - i);
  }
}
