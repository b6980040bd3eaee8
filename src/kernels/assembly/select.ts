import {
  biasesOf,
  candidatesOf,
  keysOf,
  orderCandidates,
  orderFirst,
  orderOf,
  takeFirst,
} from "./candidates";
import { cutoffBelow, roundBiases, rowKeys } from "./keys";
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
    takeFirst(orderOf(scratch, experts), topK, expert + ((t * topK) << 2), loads);
  }
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
  const keys = keysOf(scratch, experts);
  const biases = biasesOf(scratch, experts);
  const largestBias = roundBiases(bias, experts, biases);
  memory.fill(loads, 0, (<usize>experts) << 2);
  for (let t: usize = 0; t < <usize>tokens; t++) {
    const row = logits + ((t * experts) << 2);
    const most = rowKeys(row, kind, biases, experts, keys);
    const cutoff = cutoffBelow(lowerBound(keys, experts, topK), most, largestBias);
    const size = indicesFrom(keys, experts, cutoff, candidatesOf(scratch, experts));
    orderFirst(scratch, row, kind, bias, experts, size, topK, most, largestBias);
    takeFirst(orderOf(scratch, experts), topK, expert + ((t * topK) << 2), loads);
  }
}
