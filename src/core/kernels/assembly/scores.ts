import { exp64, sigmoid, sigmoid64, sqrtSoftplus, sqrtSoftplus64, sumExp64 } from "./exp";
import { hostLog } from "./host";
import { LOGITS, SIGMOID, SOFTMAX } from "./kinds";
import { largestOf, loadPartial, storePartial } from "./lanes";
import { softmaxRow } from "./softmax";

export function softmaxScores(logits: usize, tokens: i32, experts: i32, scores: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) softmaxRow(logits + t * width, experts, scores + t * width);
}

/** `sigmoid` or, where `isSigmoid` is false, `sqrtSoftplus`: a constant at each call, so that no branch remains. */
// @ts-ignore: decorator
@inline
function scoreOf(z: v128, isSigmoid: bool): v128 {
  return isSigmoid ? sigmoid(z) : sqrtSoftplus(z);
}

// @ts-ignore: decorator
@inline
function entrywiseScores(logits: usize, entries: i32, scores: usize, isSigmoid: bool): void {
  let i = 0;
  for (; i + 16 <= entries; i += 16) {
    const at = (<usize>i) << 2;
    const s0 = scoreOf(v128.load(logits + at), isSigmoid);
    const s1 = scoreOf(v128.load(logits + at, 16), isSigmoid);
    const s2 = scoreOf(v128.load(logits + at, 32), isSigmoid);
    const s3 = scoreOf(v128.load(logits + at, 48), isSigmoid);
    v128.store(scores + at, s0);
    v128.store(scores + at, s1, 16);
    v128.store(scores + at, s2, 32);
    v128.store(scores + at, s3, 48);
  }
  for (; i + 4 <= entries; i += 4) {
    const at = (<usize>i) << 2;
    v128.store(scores + at, scoreOf(v128.load(logits + at), isSigmoid));
  }
  const at = (<usize>i) << 2;
  storePartial(scores + at, scoreOf(loadPartial(logits + at, entries - i, 0), isSigmoid), entries - i);
}

export function sigmoidScores(logits: usize, entries: i32, scores: usize): void {
  entrywiseScores(logits, entries, scores, true);
}

export function sqrtSoftplusScores(logits: usize, entries: i32, scores: usize): void {
  entrywiseScores(logits, entries, scores, false);
}

export function logSumExpRows(logits: usize, tokens: i32, experts: i32, out: usize): void {
  const width = (<usize>experts) << 2;
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + t * width;
    const largest = <f64>largestOf(row, experts);
    const sum = largest == -Infinity ? 0 : hostLog(sumExp64(row, experts, largest));
    store<f64>(out + (t << 3), largest + sum);
  }
}

// @ts-ignore: decorator
@inline
function pairScore(x: v128, kind: i32): v128 {
  if (kind == SOFTMAX) return exp64(x);
  return kind == SIGMOID ? sigmoid64(x) : sqrtSoftplus64(x);
}

/** S of each selected pair in float64, 0 where there is no expert; `logSumExp` is read only for the softmax. */
export function pairScores(
  logits: usize,
  kind: i32,
  logSumExp: usize,
  expert: usize,
  tokens: i32,
  experts: i32,
  slots: i32,
  out: usize,
): void {
  // First the exponent of each pair, −∞ where there is none, then S over the flat array, two pairs at a time.
  const none: f64 = kind == LOGITS ? 0 : -Infinity;
  let slot: usize = 0;
  for (let t = 0; t < tokens; t++) {
    const row = logits + (((<usize>t) * experts) << 2);
    const shift = kind == SOFTMAX ? load<f64>(logSumExp + ((<usize>t) << 3)) : 0;
    for (let s = 0; s < slots; s++, slot++) {
      const chosen = load<i32>(expert + (slot << 2));
      const x = chosen < 0 ? none : <f64>load<f32>(row + ((<usize>chosen) << 2)) - shift;
      store<f64>(out + (slot << 3), x);
    }
  }
  if (kind == LOGITS) return;
  const end = out + (slot << 3);
  let at = out;
  for (; at + 16 <= end; at += 16) v128.store(at, pairScore(v128.load(at), kind));
  if (at < end) store<f64>(at, f64x2.extract_lane(pairScore(f64x2.splat(load<f64>(at)), kind), 0));
}
