import { exp64, sigmoid, sigmoid64, sumExp64 } from "./exp";
import { hostLog } from "./host";
import { largestOf, loadPartial, storePartial } from "./lanes";
import { softmaxRow } from "./softmax";

export function softmaxScores(logits: usize, tokens: i32, experts: i32, scores: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) softmaxRow(logits + t * width, experts, scores + t * width);
}

export function sigmoidScores(logits: usize, entries: i32, scores: usize): void {
  let i = 0;
  for (; i + 16 <= entries; i += 16) {
    const at = (<usize>i) << 2;
    const s0 = sigmoid(v128.load(logits + at));
    const s1 = sigmoid(v128.load(logits + at, 16));
    const s2 = sigmoid(v128.load(logits + at, 32));
    const s3 = sigmoid(v128.load(logits + at, 48));
    v128.store(scores + at, s0);
    v128.store(scores + at, s1, 16);
    v128.store(scores + at, s2, 32);
    v128.store(scores + at, s3, 48);
  }
  for (; i + 4 <= entries; i += 4) {
    const at = (<usize>i) << 2;
    v128.store(scores + at, sigmoid(v128.load(logits + at)));
  }
  const at = (<usize>i) << 2;
  storePartial(scores + at, sigmoid(loadPartial(logits + at, entries - i, 0)), entries - i);
}

export function logSumExpRows(logits: usize, tokens: i32, experts: i32, out: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + t * width;
    const largest = <f64>largestOf(row, experts);
    store<f64>(out + (t << 3), largest + hostLog(sumExp64(row, experts, largest)));
  }
}

/** S of each selected pair in float64, 0 where there is no expert; `logSumExp` is read only for the softmax. */
export function pairScores(
  logits: usize,
  softmax: bool,
  logSumExp: usize,
  expert: usize,
  tokens: i32,
  experts: i32,
  slots: i32,
  out: usize,
): void {
  // First the exponent of each pair, −∞ where there is none, then e^x over the flat array, two pairs at a time.
  let slot: usize = 0;
  for (let t = 0; t < tokens; t++) {
    const row = logits + (((<usize>t) * experts) << 2);
    const shift = softmax ? load<f64>(logSumExp + ((<usize>t) << 3)) : 0;
    for (let s = 0; s < slots; s++, slot++) {
      const chosen = load<i32>(expert + (slot << 2));
      const x = chosen < 0 ? -Infinity : <f64>load<f32>(row + ((<usize>chosen) << 2)) - shift;
      store<f64>(out + (slot << 3), x);
    }
  }
  const end = out + (slot << 3);
  let at = out;
  for (; at + 16 <= end; at += 16) v128.store(at, softmax ? exp64(v128.load(at)) : sigmoid64(v128.load(at)));
  if (at < end) {
    const x = f64x2.splat(load<f64>(at));
    store<f64>(at, f64x2.extract_lane(softmax ? exp64(x) : sigmoid64(x), 0));
  }
}
