import { promoteHigh, promoteLow } from "./lanes";

/** See `Kernels.addOffsets`; `offset` is float64. */
export function addOffsets(values: usize, offset: usize, tokens: i32, experts: i32, out: usize): void {
  const width = (<usize>experts) << 2;
  const whole = width & ~15;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const from = values + t * width;
    const to = out + t * width;
    let at: usize = 0;
    for (; at < whole; at += 16) {
      const lanes = v128.load(from + at);
      const low = f64x2.add(promoteLow(lanes), v128.load(offset + 2 * at));
      const high = f64x2.add(promoteHigh(lanes), v128.load(offset + 2 * at, 16));
      v128.store(to + at, v128.shuffle<i64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2));
    }
    for (; at < width; at += 4) {
      store<f32>(to + at, <f32>(<f64>load<f32>(from + at) + load<f64>(offset + 2 * at)));
    }
  }
}
