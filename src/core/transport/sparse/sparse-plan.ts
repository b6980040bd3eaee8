import type { ColumnCosts } from "./column-costs.ts";

/** A plan by columns: expert e has the entries [columnStart[e], columnStart[e + 1]), by ascending token. */
export interface SparsePlan {
  /** `[experts + 1]` */
  readonly columnStart: Int32Array;
  readonly token: Int32Array;
  /** ≥ 0; 0 for an entry of the support that is not used. */
  readonly mass: Float64Array;
  /** `[tokens]`, the rows' sums before {@link normaliseRows} divided by them. */
  readonly rowSum: Float64Array;
}

/** Returns an empty plan with room for `mostEntries` entries of `mostTokens` tokens. */
export function createSparsePlan(mostTokens: number, experts: number, mostEntries: number): SparsePlan {
  return {
    columnStart: new Int32Array(experts + 1),
    token: new Int32Array(mostEntries),
    mass: new Float64Array(mostEntries),
    rowSum: new Float64Array(mostTokens),
  };
}

/** Copies a plan to `to`, which has room for as many entries. */
export function copySparsePlan(from: SparsePlan, to: SparsePlan): void {
  to.columnStart.set(from.columnStart);
  // Copies whole buffers, because views of the used parts would be allocated for every copy.
  to.token.set(from.token);
  to.mass.set(from.mass);
  to.rowSum.set(from.rowSum);
}

/**
 * Divides each row by its sum, unless that is 0, and keeps the sums in `rowSum`. Returns (‖P·1 − 1‖₁ + ‖Pᵀ·1 − T/E‖₁) / T of
 * the result.
 */
export function normaliseRows({ columnStart, token, mass, rowSum }: SparsePlan, tokens: number): number {
  const experts = columnStart.length - 1;
  const entries = columnStart[experts];
  rowSum.fill(0, 0, tokens);
  for (let i = 0; i < entries; i++) rowSum[token[i]] += mass[i];
  for (let i = 0; i < entries; i++) if (mass[i] > 0) mass[i] /= rowSum[token[i]];
  let error = 0;
  for (let t = 0; t < tokens; t++) if (rowSum[t] === 0) error += 1;
  for (let e = 0; e < experts; e++) {
    let sum = 0;
    for (let i = columnStart[e]; i < columnStart[e + 1]; i++) sum += mass[i];
    error += Math.abs(sum - tokens / experts);
  }
  return error / tokens;
}

/** Returns ⟨C, P⟩ + (γ/2)·‖P‖². */
export function primalValue(
  { columnStart, token, mass }: SparsePlan,
  { cost, rowCost, tokens, experts }: ColumnCosts,
  gamma: number,
): number {
  let linear = 0;
  let squares = 0;
  for (let e = 0; e < experts; e++) {
    for (let i = columnStart[e]; i < columnStart[e + 1]; i++) {
      linear += (cost[e * tokens + token[i]] + rowCost[token[i]]) * mass[i];
      squares += mass[i] * mass[i];
    }
  }
  return linear + (gamma / 2) * squares;
}

/** Writes the number of non-zeros of each column to `cardinality` `[experts]`. Returns the largest. */
export function countNonZeros({ columnStart, mass }: SparsePlan, cardinality: Int32Array): number {
  let most = 0;
  for (let e = 0; e < cardinality.length; e++) {
    cardinality[e] = 0;
    for (let i = columnStart[e]; i < columnStart[e + 1]; i++) if (mass[i] > 0) cardinality[e] += 1;
    most = Math.max(most, cardinality[e]);
  }
  return most;
}
