import { wideSigmoid } from "./exp";
import { largestOf, loadPartial, storePartial } from "./lanes";
import { sigmoidScores, sqrtSoftplusScores } from "./scores";
import { wideSoftmax } from "./sinkhorn";
import { scaleRow, softmaxRow, softmaxWeight, softmaxWeightSum } from "./softmax";

/** Copies the logits of a token's experts to its gates, `empty` where there is none. */
// @ts-ignore: decorator
@inline
function gather(row: usize, expert: usize, slots: i32, empty: f32, gate: usize): void {
  for (let slot: usize = 0; slot < <usize>slots; slot++) {
    const chosen = load<i32>(expert + (slot << 2));
    store<f32>(gate + (slot << 2), chosen < 0 ? empty : load<f32>(row + ((<usize>chosen) << 2)));
  }
}

function sumOf(from: usize, count: i32): f64 {
  let sum: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i++) sum += <f64>load<f32>(from + (i << 2));
  return sum;
}

/** S divided by its sum over the slots: a row's softmax over the selected experts alone, whatever the others are. */
export function normalisedSoftmaxGates(
  logits: usize,
  expert: usize,
  tokens: i32,
  experts: i32,
  slots: i32,
  gate: usize,
): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const to = gate + ((t * slots) << 2);
    gather(logits + ((t * experts) << 2), expert + ((t * slots) << 2), slots, -Infinity, to);
    softmaxRow(to, slots, to);
  }
}

/** Below this logit e^z and 1 / (1 + e^−z) are the same float32 number, and so are e^(z/2) and √log(1 + e^z). */
// @ts-ignore: decorator
@inline
const EXPONENTIAL_TAIL: f32 = -40;

export function normalisedSigmoidGates(
  logits: usize,
  expert: usize,
  tokens: i32,
  experts: i32,
  slots: i32,
  gate: usize,
): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const to = gate + ((t * slots) << 2);
    gather(logits + ((t * experts) << 2), expert + ((t * slots) << 2), slots, -Infinity, to);
    // Where every S is e^z its ratios are those of a softmax, which does not underflow.
    if (largestOf(to, slots) < EXPONENTIAL_TAIL) {
      softmaxRow(to, slots, to);
    } else {
      wideSigmoidRow(to, slots);
      scaleRow(to, slots, <f32>(1 / sumOf(to, slots)));
    }
  }
}

export function normalisedSqrtSoftplusGates(
  logits: usize,
  expert: usize,
  tokens: i32,
  experts: i32,
  slots: i32,
  gate: usize,
): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const to = gate + ((t * slots) << 2);
    gather(logits + ((t * experts) << 2), expert + ((t * slots) << 2), slots, -Infinity, to);
    if (largestOf(to, slots) < EXPONENTIAL_TAIL) {
      scaleRow(to, slots, 0.5);
      softmaxRow(to, slots, to);
    } else {
      sqrtSoftplusScores(to, slots, to);
      scaleRow(to, slots, <f32>(1 / sumOf(to, slots)));
    }
  }
}

/** The sigmoid times 2^60, in place; −∞ becomes 0. */
// @ts-ignore: decorator
@inline
function wideSigmoidRow(row: usize, count: i32): void {
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const at = row + ((<usize>i) << 2);
    v128.store(at, wideSigmoid(v128.load(at)));
  }
  const at = row + ((<usize>i) << 2);
  if (i < count) storePartial(at, wideSigmoid(loadPartial(at, count - i, 0)), count - i);
}

/** S itself, whose denominator runs over all experts. */
export function softmaxGates(logits: usize, expert: usize, tokens: i32, experts: i32, slots: i32, gate: usize): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const largest = largestOf(row, experts);
    const inverse: f32 = largest == -Infinity ? 0 : <f32>(1 / softmaxWeightSum(row, experts, largest));
    for (let slot = t * slots; slot < (t + 1) * slots; slot++) {
      const chosen = load<i32>(expert + (slot << 2));
      const value =
        chosen < 0 ? <f32>0 : softmaxWeight(load<f32>(row + ((<usize>chosen) << 2)), largest) * inverse;
      store<f32>(gate + (slot << 2), value);
    }
  }
}

/** The logits of all slots, `empty` where there is no expert. */
function gatherAll(logits: usize, expert: usize, tokens: i32, experts: i32, slots: i32, empty: f32, gate: usize): void {
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const first = (t * slots) << 2;
    gather(logits + ((t * experts) << 2), expert + first, slots, empty, gate + first);
  }
}

export function sigmoidGates(logits: usize, expert: usize, tokens: i32, experts: i32, slots: i32, gate: usize): void {
  gatherAll(logits, expert, tokens, experts, slots, -Infinity, gate);
  sigmoidScores(gate, tokens * slots, gate);
}

export function sqrtSoftplusGates(
  logits: usize,
  expert: usize,
  tokens: i32,
  experts: i32,
  slots: i32,
  gate: usize,
): void {
  gatherAll(logits, expert, tokens, experts, slots, -Infinity, gate);
  sqrtSoftplusScores(gate, tokens * slots, gate);
}

export function logitGates(logits: usize, expert: usize, tokens: i32, experts: i32, slots: i32, gate: usize): void {
  gatherAll(logits, expert, tokens, experts, slots, 0, gate);
}

/** The softmax of z·inverse + potential over a token's selected experts; `exponents` is scratch for them. */
export function planGates(
  row: usize,
  inverse: f64,
  potential: usize,
  expert: usize,
  topK: i32,
  gate: usize,
  exponents: usize,
): void {
  let largest: f64 = -Infinity;
  for (let slot: usize = 0; slot < <usize>topK; slot++) {
    const chosen = load<i32>(expert + (slot << 2));
    const e = <usize>max(chosen, 0);
    const at = <f64>load<f32>(row + (e << 2)) * inverse + load<f64>(potential + (e << 3));
    const x = chosen < 0 ? -Infinity : at;
    // No max, which V8 makes four branches of.
    if (x > largest) largest = x;
    store<f64>(exponents + (slot << 3), x);
  }
  wideSoftmax(exponents, topK, largest, gate);
  for (let slot: usize = 0; slot < <usize>topK; slot++) {
    if (load<i32>(expert + (slot << 2)) < 0) store<f32>(gate + (slot << 2), 0);
  }
}
