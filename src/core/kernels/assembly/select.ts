import {
  biasesOf,
  candidatesOf,
  keysOf,
  orderCandidates,
  orderFirst,
  orderOf,
  selectScratch,
  takeFirst,
} from "./candidates";
import { planGates } from "./gates";
import { cutoffBelow, roundBiases, rowKeys } from "./keys";
import { LOGITS } from "./kinds";
import { indicesFrom, lowerBound } from "./threshold";

// Selection in three steps whose cost grows with E and not with E·K: a lower bound of the K-th key from one pass
// without branches, the few candidates that reach it from a second, and the order of those. With a bias the first two
// steps see float32 keys, see `keys.ts`.

export function selectTopK(
  logits: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  scratch: usize,
): void {
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const size = indicesFrom(row, experts, lowerBound(row, experts, topK), candidatesOf(scratch, experts));
    orderCandidates(scratch, experts, row, size, topK);
    takeFirst(orderOf(scratch, experts), topK, row, expert + ((t * topK) << 2), loads);
  }
}

/** The `topK` experts of one row with the largest keys; `biases` and `largestBias` are of {@link roundBiases}. */
// @ts-ignore: decorator
@inline
function selectBiasedRow(
  row: usize,
  kind: i32,
  bias: usize,
  biases: usize,
  largestBias: f32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  scratch: usize,
): void {
  const keys = keysOf(scratch, experts);
  const most = rowKeys(row, kind, biases, experts, keys);
  const cutoff = cutoffBelow(lowerBound(keys, experts, topK), most, largestBias);
  const size = indicesFrom(keys, experts, cutoff, candidatesOf(scratch, experts));
  orderFirst(scratch, row, kind, bias, experts, size, topK, most, largestBias);
  takeFirst(orderOf(scratch, experts), topK, row, expert, loads);
}

export function selectTopKBiased(
  logits: usize,
  kind: i32,
  bias: usize,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  scratch: usize,
): void {
  const biases = biasesOf(scratch, experts);
  const largestBias = roundBiases(bias, experts, biases);
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const chosen = expert + ((t * topK) << 2);
    selectBiasedRow(row, kind, bias, biases, largestBias, experts, topK, chosen, loads, scratch);
  }
}

/** Bytes of scratch of {@link selectByPlan}: that of a selection, a float64 bias an expert and an exponent a slot. */
export function planScratch(experts: i32, topK: i32): usize {
  return selectScratch(experts) + ((<usize>(experts + topK)) << 3);
}

/** A row's gates are computed while its logits are in cache: coming back for them takes longer than all else of them. */
export function selectByPlan(
  logits: usize,
  potential: usize,
  epsilon: f64,
  tokens: i32,
  experts: i32,
  topK: i32,
  expert: usize,
  loads: usize,
  gate: usize,
  scratch: usize,
): void {
  const bias = scratch + selectScratch(experts);
  const exponents = bias + ((<usize>experts) << 3);
  const end = (<usize>experts) << 3;
  for (let at: usize = 0; at < end; at += 8) store<f64>(bias + at, epsilon * load<f64>(potential + at));
  const biases = biasesOf(scratch, experts);
  const largestBias = roundBiases(bias, experts, biases);
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const first = (t * topK) << 2;
    selectBiasedRow(row, LOGITS, bias, biases, largestBias, experts, topK, expert + first, loads, scratch);
    planGates(row, 1 / epsilon, potential, expert + first, topK, gate + first, exponents);
  }
}
