function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/** Returns the k-th largest of `values[0, count)`, 1 ≤ k ≤ count, and reorders them. Hoare's quickselect, O(count) expected. */
export function kthLargest(values: Float64Array, count: number, k: number): number {
  const target = k - 1;
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const pivot = median(values[low], values[(low + high) >> 1], values[high]);
    let left = low;
    let right = high;
    while (left <= right) {
      while (values[left] > pivot) left += 1;
      while (values[right] < pivot) right -= 1;
      if (left <= right) {
        const swapped = values[left];
        values[left++] = values[right];
        values[right--] = swapped;
      }
    }
    if (target <= right) high = right;
    else if (target >= left) low = left;
    else break;
  }
  return values[target];
}

/** Tokens that a selection kept, ascending, with their values, in buffers for up to `mostTokens`. */
export interface Selection {
  readonly token: Int32Array;
  readonly value: Float64Array;
  /** Room for as many values, for the owner of the selection. */
  readonly scratch: Float64Array;
}

export function createSelection(mostTokens: number): Selection {
  return {
    token: new Int32Array(mostTokens),
    value: new Float64Array(mostTokens),
    scratch: new Float64Array(mostTokens),
  };
}

/** Keeps those of the first `count` values that are above `threshold`, and the first `ties` that equal it. */
function keepFrom({ token, value }: Selection, count: number, threshold: number, ties: number): number {
  let kept = 0;
  let left = ties;
  for (let i = 0; i < count; i++) {
    if (value[i] < threshold || (value[i] === threshold && left-- <= 0)) continue;
    token[kept] = token[i];
    value[kept++] = value[i];
  }
  return kept;
}

/** Keeps the k largest of the first `count` values, ties to the lower token. Returns how many are kept. */
export function keepLargest(selection: Selection, count: number, k: number): number {
  if (count <= k || k === 0) return Math.min(count, k);
  const { value, scratch } = selection;
  for (let i = 0; i < count; i++) scratch[i] = value[i];
  const threshold = kthLargest(scratch, count, k);
  const kept = keepFrom(selection, count, threshold, k);
  if (kept === k) return k;
  let ties = k;
  for (let i = 0; i < kept; i++) if (value[i] > threshold) ties -= 1;
  return keepFrom(selection, kept, threshold, ties);
}
