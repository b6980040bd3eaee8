import type { ColumnCosts } from "./column-costs.ts";

// Of sums and differences of a few doubles, relatively.
const rounding = 16 * Number.EPSILON;

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/** The k-th largest of `values[0, count)`, 1 ≤ k ≤ count, which are reordered. Hoare's quickselect, O(count) expected. */
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

/**
 * τ with Σ max(0, values_i − τ) = mass > 0 over `values[0, count)`, which are reordered: what is subtracted by the
 * projection on the simplex of that mass. Michelot's 1986 algorithm: τ of all values, leave out those below it, repeat.
 */
export function simplexThreshold(values: Float64Array, count: number, mass: number): number {
  let active = count;
  for (;;) {
    let sum = 0;
    for (let i = 0; i < active; i++) sum += values[i];
    const threshold = (sum - mass) / active;
    let kept = 0;
    for (let i = 0; i < active; i++) if (values[i] > threshold) values[kept++] = values[i];
    if (kept === active || kept === 0) return threshold;
    active = kept;
  }
}

/** The tokens that a selection kept, in ascending order, with their values, in buffers for up to `mostTokens`. */
export interface Selection {
  readonly token: Int32Array;
  readonly value: Float64Array;
  /** Room for as many values, for whoever holds the selection. */
  readonly scratch: Float64Array;
}

export function createSelection(mostTokens: number): Selection {
  return {
    token: new Int32Array(mostTokens),
    value: new Float64Array(mostTokens),
    scratch: new Float64Array(mostTokens),
  };
}

/**
 * The k-th largest of the first `count` values, 1 ≤ k ≤ count, which stay where they are. Takes the least time where it
 * is within `width` of `near` and few others are.
 */
function rankedValue(
  { value, scratch }: Selection,
  count: number,
  k: number,
  near = 0,
  width = Number.POSITIVE_INFINITY,
): number {
  let above = 0;
  let inside = 0;
  for (let i = 0; i < count; i++) {
    const distance = value[i] - near;
    if (distance > width) above += 1;
    else if (distance >= -width) scratch[inside++] = value[i];
  }
  if (above < k && k <= above + inside) return kthLargest(scratch, inside, k - above);
  for (let i = 0; i < count; i++) scratch[i] = value[i];
  return kthLargest(scratch, count, k);
}

/** Keeps those of the first `count` values that are above `threshold`, and the first `ties` that are at it. */
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

/** Keeps the k largest of the first `count` ≥ k values, of which `threshold` is the k-th, ties to the lower token. */
function keepRanked(selection: Selection, count: number, k: number, threshold: number): number {
  const kept = keepFrom(selection, count, threshold, k);
  if (kept === k) return k;
  let ties = k;
  for (let i = 0; i < kept; i++) if (selection.value[i] > threshold) ties -= 1;
  return keepFrom(selection, kept, threshold, ties);
}

/** Keeps the k largest of the first `count` values, ties to the lower token; returns how many remain. */
export function keepLargest(selection: Selection, count: number, k: number): number {
  if (count <= k || k === 0) return Math.min(count, k);
  return keepRanked(selection, count, k, rankedValue(selection, count, k));
}

/** Selects the largest entries of columns of α − C, in little time while α moves little. */
export interface ColumnSelector {
  readonly selection: Selection;
  /** To be called when the costs are new or k is another. */
  reset(): void;
  /** To be called when α has changed. */
  follow(): void;
  /** Keeps the k ≥ 1 largest of α − c_e above `floor`, ties to the lower token; returns how many there are. */
  select(e: number, k: number, floor: number): number;
}

/**
 * Each column has a shortlist: the tokens with the largest α − c_e when it was made, about 2k of them. No other token can
 * have risen by more than α rose anywhere since, summed over the calls of `follow`. Where that bound stays below the
 * floor, or below the k-th largest value of the shortlist, selecting from the shortlist is selecting from the column;
 * otherwise a new one is made, in one pass: as deep below the k-th largest value of the old one as makes it 1.5k to 3k
 * long. What is selected never depends on the shortlist.
 */
export function createColumnSelector(costs: ColumnCosts, alpha: Float64Array): ColumnSelector {
  const { cost, experts } = costs;
  const selection = createSelection(alpha.length);
  const { token, value } = selection;
  const lastAlpha = new Float64Array(alpha.length);
  const listToken = new Int32Array(cost.length);
  const listCost = new Float64Array(cost.length);
  const listLength = new Int32Array(experts);
  // What bounded the tokens outside of the list when it was made, less `risen` then.
  const listBound = new Float64Array(experts);
  const listDepth = new Float64Array(experts);
  // The k-th largest value of each column when it was last looked for, and within what of it the next is expected.
  const threshold = new Float64Array(experts);
  const thresholdWidth = new Float64Array(experts);
  let risen = 0;

  /** Collects the entries of the list of column e above `floor`; returns how many there are. */
  function collect(e: number, floor: number): number {
    const column = e * costs.tokens;
    const length = listLength[e];
    let count = 0;
    for (let i = column; i < column + length; i++) {
      const t = listToken[i];
      const difference = alpha[t] - listCost[i];
      if (difference > floor) {
        token[count] = t;
        value[count++] = difference;
      }
    }
    return count;
  }

  /** The value that is to bound the tokens outside of a new list of column e, which has more than 2k tokens. */
  function chooseBound(e: number, k: number): number {
    const { scratch } = selection;
    const column = e * costs.tokens;
    if (listLength[e] >= k) return rankedValue(selection, collect(e, Number.NEGATIVE_INFINITY), k) - listDepth[e];
    for (let t = 0; t < costs.tokens; t++) scratch[t] = alpha[t] - cost[column + t];
    const bound = kthLargest(scratch, costs.tokens, 2 * k);
    // The larger ones are now the first.
    listDepth[e] = kthLargest(scratch, 2 * k, k) - bound;
    return bound;
  }

  function makeList(e: number, k: number): void {
    const { tokens } = costs;
    const column = e * tokens;
    const bound = tokens > 2 * k ? chooseBound(e, k) : Number.NEGATIVE_INFINITY;
    let length = 0;
    for (let t = 0; t < tokens; t++) {
      if (alpha[t] - cost[column + t] < bound) continue;
      listToken[column + length] = t;
      listCost[column + length++] = cost[column + t];
    }
    listLength[e] = length;
    listBound[e] = tokens > 2 * k ? bound + rounding * Math.abs(bound) - risen : Number.NEGATIVE_INFINITY;
    if (length > 3 * k) listDepth[e] /= 2;
    else if (length < 1.5 * k) listDepth[e] *= 2;
  }

  return {
    selection,
    reset() {
      listLength.fill(0);
      threshold.fill(Number.NEGATIVE_INFINITY);
      thresholdWidth.fill(0);
      listBound.fill(Number.POSITIVE_INFINITY);
      risen = 0;
      lastAlpha.set(alpha);
    },
    follow() {
      let rise = Number.NEGATIVE_INFINITY;
      let size = 0;
      for (let t = 0; t < costs.tokens; t++) {
        rise = Math.max(rise, alpha[t] - lastAlpha[t]);
        size = Math.max(size, Math.abs(alpha[t]));
        lastAlpha[t] = alpha[t];
      }
      risen += rise + rounding * size;
    },
    select(e, k, floor) {
      const bound = Math.max(floor, listBound[e] + risen);
      const last = threshold[e];
      const guess = last - thresholdWidth[e];
      let count = collect(e, Math.max(bound, guess));
      if (count < k && guess > bound) count = collect(e, bound);
      if (count < k && bound > floor) {
        makeList(e, k);
        count = collect(e, floor);
      }
      if (count <= k) return count;
      threshold[e] = rankedValue(selection, count, k, last, thresholdWidth[e]);
      const move = Math.abs(threshold[e] - last);
      thresholdWidth[e] = move === Number.POSITIVE_INFINITY ? 0 : 2 * move;
      return keepRanked(selection, count, k, threshold[e]);
    },
  };
}
