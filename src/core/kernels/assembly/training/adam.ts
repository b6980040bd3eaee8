import { loadPartial, storePartial } from "../lanes";

const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

export function adam(
  values: usize,
  first: usize,
  second: usize,
  gradient: usize,
  length: i32,
  rate: f32,
  secondScale: f32,
): void {
  for (let i = 0; i < length; i += 4) {
    const at = (<usize>i) << 2;
    const present = length - i;
    const whole = present >= 4;
    const g = whole ? v128.load(gradient + at) : loadPartial(gradient + at, present, 0);
    let m = whole ? v128.load(first + at) : loadPartial(first + at, present, 0);
    let v = whole ? v128.load(second + at) : loadPartial(second + at, present, 0);
    const value = whole ? v128.load(values + at) : loadPartial(values + at, present, 0);
    m = f32x4.add(f32x4.mul(f32x4.splat(FIRST_DECAY), m), f32x4.mul(f32x4.splat(1 - FIRST_DECAY), g));
    v = f32x4.add(
      f32x4.mul(f32x4.splat(SECOND_DECAY), v),
      f32x4.mul(f32x4.splat(1 - SECOND_DECAY), f32x4.mul(g, g)),
    );
    const root = f32x4.add(f32x4.sqrt(f32x4.mul(f32x4.splat(secondScale), v)), f32x4.splat(EPSILON));
    const moved = f32x4.sub(value, f32x4.div(f32x4.mul(f32x4.splat(rate), m), root));
    if (whole) {
      v128.store(first + at, m);
      v128.store(second + at, v);
      v128.store(values + at, moved);
    } else {
      storePartial(first + at, m, present);
      storePartial(second + at, v, present);
      storePartial(values + at, moved, present);
    }
  }
}
