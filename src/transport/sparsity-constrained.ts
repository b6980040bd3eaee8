import { z } from "zod";
import { createLbfgs } from "./lbfgs.ts";

/** The options of {@link createSparsityConstrainedSolver}, spread into the schemas of the routers that use it. */
export const sparsityConstrainedFields = {
  formulation: z
    .enum(["dual", "semi-dual"])
    .default("dual")
    .describe("Which concave function L-BFGS climbs: of tokens and experts (dual), or of tokens alone (semi-dual)."),
  gamma: z
    .number()
    .min(1e-6)
    .default(1)
    .describe("Weight of the squared norm of the plan, in units of the cost; larger plans are spread more evenly."),
  maxIterations: z.number().int().nonnegative().default(200).describe("Most L-BFGS steps on the dual per batch."),
  tolerance: z
    .number()
    .nonnegative()
    .default(1e-5)
    .describe("Stop when every row sum is within this of 1 and every column sum within this, relatively, of T/E."),
};

const sparsityConstrainedOptions = z.strictObject(sparsityConstrainedFields);

export type SparsityConstrainedOptions = z.infer<typeof sparsityConstrainedOptions>;

/**
 * min over P ≥ 0 of ⟨C, P⟩ + (γ/2)·‖P‖², C = −affinity, with P·1 = 1 for each of T tokens, Pᵀ·1 = T/E for each of E
 * experts, and at most k = `maxTokens` non-zeros in each column.
 */
export interface SparsityConstrainedProblem {
  /** At least `tokens · experts` finite entries, row-major. */
  readonly affinity: Float32Array;
  /** T, at most the tokens the solver was created for. */
  readonly tokens: number;
  /** k ≥ 1, at most the `maxTokens` the solver was created for; T or more does not constrain. */
  readonly maxTokens: number;
}

/** A plan by columns: expert e holds the entries [columnStart[e], columnStart[e + 1]), tokens in ascending order. */
export interface SparsePlan {
  /** `[experts + 1]` */
  readonly columnStart: Int32Array;
  readonly token: Int32Array;
  /** Not negative, 0 where an entry of the support is not used. */
  readonly mass: Float64Array;
}

/** Its arrays belong to the solver and are overwritten by the next problem. */
export interface SparsityConstrainedSolution {
  /** Rows sum to 1, except those that are all zero. */
  readonly plan: SparsePlan;
  /** Non-zeros of each column `[experts]`, at most k. */
  readonly columnCardinality: Int32Array;
  readonly maxColumnCardinality: number;
  /** L-BFGS steps on the dual. */
  readonly iterations: number;
  /** L-BFGS steps on the support that replaced the dual's own, 0 when that one was good. */
  readonly polishIterations: number;
  /** (‖P·1 − 1‖₁ + ‖Pᵀ·1 − T/E‖₁) / T of this very plan, in [0, 2]. */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
  /** ⟨C, P⟩ + (γ/2)·‖P‖² of this very plan. */
  readonly primal: number;
  /** A lower bound on the primal value of every feasible plan. */
  readonly dual: number;
  /**
   * `primal − dual`. Of a converged plan: how far at most it is from the best one, up to the tolerance. It stays above 0
   * where the constraint binds, since the problem is not convex. Of a plan that misses its marginals it bounds nothing
   * and may be negative.
   */
  readonly dualityGap: number;
}

/** Solves problems of one size with buffers allocated once. */
export interface SparsityConstrainedSolver {
  solve(problem: SparsityConstrainedProblem): SparsityConstrainedSolution;
}

/** The k-th largest of `values[0, count)`, 1 ≤ k ≤ count, which are reordered. Hoare's quickselect, O(count) expected. */
export function kthLargest(values: Float64Array, count: number, k: number): number {
  const target = k - 1;
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const [first, middle, last] = [values[low], values[(low + high) >> 1], values[high]];
    const pivot = Math.max(Math.min(first, middle), Math.min(Math.max(first, middle), last));
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

const maxRefinements = 8;
const chainRounding = 1e-12;

/**
 * Sparsity-constrained optimal transport (Liu, Puigcerver & Blondel 2022, arXiv 2209.15466), with s_e = α − c_e and
 * top_k the k largest entries, ties to the lower token:
 *
 *     semi-dual   max over α of     Σ_t α_t               − Σ_e Ω*_b(s_e)          b = T/E
 *                 Ω*_b(s) = ⟨s, p⟩ − (γ/2)‖p‖²,  p = projection of top_k(s)/γ on the simplex of mass b    (eq. 10, 12)
 *     dual        max over α, β of  Σ_t α_t + b·Σ_e β_e   − Σ_e Ω*_+(s_e + β_e)
 *                 Ω*_+(s) = Σ top_k([s]_+²)/(2γ),  p = top_k([s]_+)/γ                                     (eq. 9, 11)
 *
 * climbed by L-BFGS from α = γ, β = 0 after each row's smallest cost has been subtracted, so that a constant added to a
 * row changes nothing. β is scaled by √b, which makes the two diagonal blocks of the Hessian alike. The gradient is by
 * how much the rows miss 1 and the columns T/E, and is measured against those. Plans of k ≥ T have no constraint and are
 * the quadratically regularised ones (Blondel, Seguy & Rolet 2018).
 *
 * Where k binds, the problem is not convex and its dual has a kink at the optimum: the columns p taken there by the
 * formulas above leave rows empty. Such a plan is replaced by one on another support with at most k tokens an expert:
 *
 *  1. m = ⌊kE/T⌋ entries a row and ⌈mT/E⌉ ≤ k a column, of the least total cost: from the dual's own columns, each row
 *     short of m is given an expert by the cheapest chain of replacements that ends at a row with more than m.
 *     When E divides mT the plan of 1/m everywhere is feasible on it.
 *  2. where E does not divide mT, columns with fewer than k are filled by their largest s_e.
 *  3. the quadratically regularised plan on that support, by its own smooth dual, of E·k entries.
 *  4. entries with no mass give way to the ones outside with the largest s_e + β_e > 0, up to k a column, and 3 is
 *     repeated while the primal value falls.
 *
 * It is returned when its marginal error is smaller. Example: T = 48, E = 6, k = 12, γ = 0.5, where the dual's own plan
 * misses its marginals by 0.2 and this one by 3e-6. Last, rows are divided by their sums.
 *
 * @param tokens the most tokens of a problem
 * @param maxTokens the largest k of a problem
 */
export function createSparsityConstrainedSolver(
  tokens: number,
  experts: number,
  maxTokens: number,
  options: SparsityConstrainedOptions,
): SparsityConstrainedSolver {
  const { formulation, gamma, maxIterations, tolerance } = options;
  const mostEntries = experts * Math.min(tokens, maxTokens);
  // [experts × tokens], so that a column is contiguous; each token's smallest cost is subtracted and kept in rowCost.
  const cost = new Float64Array(experts * tokens);
  const rowCost = new Float64Array(tokens);
  const variables = new Float64Array(tokens + experts);
  const gradientScale = new Float64Array(tokens + experts);
  const alpha = new Float64Array(tokens);
  const beta = new Float64Array(experts);
  const rowSum = new Float64Array(tokens);
  const lbfgs = createLbfgs(tokens + experts);

  const keptToken = new Int32Array(tokens);
  const keptValue = new Float64Array(tokens);
  const scratch = new Float64Array(tokens);

  const plan = createPlan();
  const polished = createPlan();
  const candidate = createPlan();
  const columnCardinality = new Int32Array(experts);
  const inColumn = new Uint8Array(experts * tokens);
  const rowEntries = new Int32Array(tokens);
  const chainCost = new Float64Array(experts);
  const chainFrom = new Int32Array(experts);
  const chainLeaver = new Int32Array(experts);
  const isActive = new Uint8Array(experts);
  const endCost = new Float64Array(experts);
  const endToken = new Int32Array(experts);
  const columnTokens = candidate.token;
  const moveCost = new Float64Array(experts * experts);
  const moveToken = new Int32Array(experts * experts);

  function createPlan(): SparsePlan {
    return {
      columnStart: new Int32Array(experts + 1),
      token: new Int32Array(mostEntries),
      mass: new Float64Array(mostEntries),
    };
  }

  function copyPlan(from: SparsePlan, to: SparsePlan): void {
    const entries = from.columnStart[experts];
    to.columnStart.set(from.columnStart);
    to.token.set(from.token.subarray(0, entries));
    to.mass.set(from.mass.subarray(0, entries));
  }

  function readCost({ affinity, tokens: rows }: SparsityConstrainedProblem): void {
    for (let t = 0; t < rows; t++) {
      const row = t * experts;
      let largest = affinity[row];
      for (let e = 1; e < experts; e++) largest = Math.max(largest, affinity[row + e]);
      rowCost[t] = -largest;
      for (let e = 0; e < experts; e++) cost[e * rows + t] = largest - affinity[row + e];
    }
  }

  /** Keeps the k largest of the `count` kept values, ties to the lower token; returns how many remain. */
  function keepLargest(count: number, k: number): number {
    if (count <= k) return count;
    scratch.set(keptValue.subarray(0, count));
    const threshold = kthLargest(scratch, count, k);
    let ties = k;
    for (let i = 0; i < count; i++) if (keptValue[i] > threshold) ties -= 1;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const value = keptValue[i];
      if (value < threshold || (value === threshold && ties-- <= 0)) continue;
      keptToken[kept] = keptToken[i];
      keptValue[kept++] = value;
    }
    return kept;
  }

  /** Keeps the k largest of α − c_e above `floor`; returns how many there are. */
  function keepColumn(e: number, rows: number, k: number, floor: number): number {
    const column = e * rows;
    let count = 0;
    for (let t = 0; t < rows; t++) {
      const value = alpha[t] - cost[column + t];
      if (value > floor) {
        keptToken[count] = t;
        keptValue[count++] = value;
      }
    }
    return keepLargest(count, k);
  }

  /** Keeps column e's tokens, with their values γ·p, for the current α; sets or reads β_e; returns how many there are. */
  function keepTransport(e: number, rows: number, k: number): number {
    if (formulation === "dual") {
      const count = keepColumn(e, rows, k, -beta[e]);
      for (let i = 0; i < count; i++) keptValue[i] += beta[e];
      return count;
    }
    const count = keepColumn(e, rows, k, Number.NEGATIVE_INFINITY);
    scratch.set(keptValue.subarray(0, count));
    beta[e] = -simplexThreshold(scratch, count, (gamma * rows) / experts);
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const value = keptValue[i] + beta[e];
      if (value <= 0) continue;
      keptToken[kept] = keptToken[i];
      keptValue[kept++] = value;
    }
    return kept;
  }

  /** α and β of the variables; the semi-dual has no β among them. */
  function readPotentials(x: Float64Array, rows: number): void {
    alpha.set(x.subarray(0, rows));
    const betaScale = 1 / Math.sqrt(rows / experts);
    for (let i = rows; i < x.length; i++) beta[i - rows] = betaScale * x[i];
  }

  function writePotentials(x: Float64Array, rows: number): void {
    x.set(alpha.subarray(0, rows));
    const betaScale = 1 / Math.sqrt(rows / experts);
    for (let i = rows; i < x.length; i++) x[i] = beta[i - rows] / betaScale;
  }

  function writeGradientScale(rows: number): void {
    gradientScale.fill(1, 0, rows);
    gradientScale.fill(Math.sqrt(rows / experts), rows);
  }

  /** Minus the dual or semi-dual value; both are −Σα − b·Σβ + Σ_e ‖γ·p_e‖²/(2γ), the semi-dual at its best β. */
  function negativeDual(x: Float64Array, gradient: Float64Array, rows: number, k: number): number {
    const target = rows / experts;
    const betaScale = 1 / Math.sqrt(target);
    readPotentials(x, rows);
    let value = 0;
    gradient.fill(-1, 0, rows);
    for (let t = 0; t < rows; t++) value -= alpha[t];
    for (let e = 0; e < experts; e++) {
      const count = keepTransport(e, rows, k);
      let squares = 0;
      let sum = 0;
      for (let i = 0; i < count; i++) {
        squares += keptValue[i] * keptValue[i];
        sum += keptValue[i];
        gradient[keptToken[i]] += keptValue[i] / gamma;
      }
      value += squares / (2 * gamma) - target * beta[e];
      if (formulation === "dual") gradient[rows + e] = betaScale * (sum / gamma - target);
    }
    return value;
  }

  /** The same for the dual of the quadratically regularised problem on the support of `support`. */
  function negativeSupportDual(x: Float64Array, gradient: Float64Array, rows: number, support: SparsePlan): number {
    const target = rows / experts;
    const betaScale = 1 / Math.sqrt(target);
    const { columnStart, token, mass } = support;
    readPotentials(x, rows);
    let value = 0;
    gradient.fill(-1, 0, rows);
    for (let t = 0; t < rows; t++) value -= alpha[t];
    for (let e = 0; e < experts; e++) {
      let squares = 0;
      let sum = 0;
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) {
        const t = token[i];
        const slack = Math.max(0, alpha[t] + beta[e] - cost[e * rows + t]);
        squares += slack * slack;
        sum += slack;
        mass[i] = slack / gamma;
        gradient[t] += mass[i];
      }
      value += squares / (2 * gamma) - target * beta[e];
      gradient[rows + e] = betaScale * (sum / gamma - target);
    }
    return value;
  }

  /** Writes the plan of the current potentials, columns as kept by {@link keepTransport}. */
  function recoverPlan(rows: number, k: number): void {
    let entries = 0;
    for (let e = 0; e < experts; e++) {
      const count = keepTransport(e, rows, k);
      for (let i = 0; i < count; i++) {
        plan.token[entries] = keptToken[i];
        plan.mass[entries++] = keptValue[i] / gamma;
      }
      plan.columnStart[e + 1] = entries;
    }
  }

  /** Divides the rows by their sums; returns (‖P·1 − 1‖₁ + ‖Pᵀ·1 − T/E‖₁) / T of the result. */
  function normaliseRows({ columnStart, token, mass }: SparsePlan, rows: number): number {
    const entries = columnStart[experts];
    rowSum.fill(0, 0, rows);
    for (let i = 0; i < entries; i++) rowSum[token[i]] += mass[i];
    for (let i = 0; i < entries; i++) if (mass[i] > 0) mass[i] /= rowSum[token[i]];
    let error = 0;
    for (let t = 0; t < rows; t++) if (rowSum[t] === 0) error += 1;
    for (let e = 0; e < experts; e++) {
      let sum = 0;
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) sum += mass[i];
      error += Math.abs(sum - rows / experts);
    }
    return error / rows;
  }

  function primalOf({ columnStart, token, mass }: SparsePlan, rows: number): number {
    let linear = 0;
    let squares = 0;
    for (let e = 0; e < experts; e++) {
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) {
        linear += (cost[e * rows + token[i]] + rowCost[token[i]]) * mass[i];
        squares += mass[i] * mass[i];
      }
    }
    return linear + (gamma / 2) * squares;
  }

  /** Writes the cheapest move of one of column `from`'s tokens to column `to`. */
  function writeMove(from: number, to: number, rows: number, size: number): void {
    let cheapest = Number.POSITIVE_INFINITY;
    let mover = -1;
    for (let i = from * size; i < (from + 1) * size; i++) {
      const t = columnTokens[i];
      if (inColumn[to * rows + t] === 1) continue;
      const change = cost[to * rows + t] - cost[from * rows + t];
      if (change < cheapest) {
        cheapest = change;
        mover = t;
      }
    }
    moveCost[from * experts + to] = cheapest;
    moveToken[from * experts + to] = mover;
  }

  /** The cheapest way to end a chain in column e: by one of its tokens whose row has more than `least` entries. */
  function writeEnd(e: number, rows: number, size: number, least: number): void {
    endCost[e] = Number.POSITIVE_INFINITY;
    endToken[e] = -1;
    for (let i = e * size; i < (e + 1) * size; i++) {
      const t = columnTokens[i];
      if (rowEntries[t] > least && -cost[e * rows + t] < endCost[e]) {
        endCost[e] = -cost[e * rows + t];
        endToken[e] = t;
      }
    }
  }

  /** Brings the moves from and to column e up to date after `leaver` gave its place there to `joiner`. */
  function updateMoves(e: number, leaver: number, joiner: number, rows: number, size: number): void {
    for (let other = 0; other < experts; other++) {
      if (other === e) continue;
      const from = e * experts + other;
      const to = other * experts + e;
      if (moveToken[from] === leaver) writeMove(e, other, rows, size);
      else if (inColumn[other * rows + joiner] === 0) offerMove(from, joiner, other, e, rows);
      if (moveToken[to] === joiner) writeMove(other, e, rows, size);
      else if (inColumn[other * rows + leaver] === 1) offerMove(to, leaver, e, other, rows);
    }
  }

  function offerMove(move: number, t: number, to: number, from: number, rows: number): void {
    const change = cost[to * rows + t] - cost[from * rows + t];
    if (change >= moveCost[move]) return;
    moveCost[move] = change;
    moveToken[move] = t;
  }

  /** Bellman and Ford: the cheapest chains that bring token t into each column. Moves can cost less than 0, cycles not. */
  function writeChains(t: number, rows: number): void {
    for (let e = 0; e < experts; e++) {
      chainCost[e] = inColumn[e * rows + t] === 1 ? Number.POSITIVE_INFINITY : cost[e * rows + t];
      chainFrom[e] = -1;
      isActive[e] = 1;
    }
    for (let round = 0, changed = true; changed && round < experts; round++) {
      changed = false;
      for (let from = 0; from < experts; from++) {
        if (isActive[from] === 0) continue;
        isActive[from] = 0;
        for (let to = 0; to < experts; to++) {
          const length = chainCost[from] + moveCost[from * experts + to];
          // Decreases within rounding could close a cycle.
          if (!(length < chainCost[to] - chainRounding)) continue;
          chainCost[to] = length;
          chainFrom[to] = from;
          isActive[to] = 1;
          changed = true;
        }
      }
    }
  }

  /**
   * Step 1 above: leaves in `inColumn` a support with `size` tokens a column and at least `least` entries a row. It is
   * the successive shortest path algorithm for minimum-cost flow: the columns' own choices are optimal for the row counts
   * they have, and cheapest chains keep that. The graph has only the experts as its nodes.
   */
  function balanceSupport(rows: number, size: number, least: number): void {
    inColumn.fill(0, 0, experts * rows);
    rowEntries.fill(0, 0, rows);
    for (let e = 0; e < experts; e++) {
      keepColumn(e, rows, size, Number.NEGATIVE_INFINITY);
      for (let i = 0; i < size; i++) {
        columnTokens[e * size + i] = keptToken[i];
        inColumn[e * rows + keptToken[i]] = 1;
        rowEntries[keptToken[i]] += 1;
      }
    }
    for (let from = 0; from < experts; from++) {
      for (let to = 0; to < experts; to++) writeMove(from, to, rows, size);
      writeEnd(from, rows, size, least);
    }
    for (let t = 0; t < rows; t++) while (rowEntries[t] < least) replaceCheapest(t, rows, size, least);
    // Entries to spare may still be at the wrong rows.
    const spare = size * experts - least * rows;
    for (let isImproved = spare > 0; isImproved; ) {
      isImproved = false;
      for (let t = 0; t < rows; t++) if (replaceCheapest(t, rows, size, least)) isImproved = true;
    }
  }

  /**
   * Gives row t one more entry by the cheapest chain that takes one from a row with more than `least`; if t is not short
   * of entries itself, only where that lowers the cost. Returns whether it did.
   */
  function replaceCheapest(t: number, rows: number, size: number, least: number): boolean {
    writeChains(t, rows);
    let end = 0;
    for (let e = 1; e < experts; e++) if (chainCost[e] + endCost[e] < chainCost[end] + endCost[end]) end = e;
    if (rowEntries[t] >= least && !(chainCost[end] + endCost[end] < -chainRounding)) return false;
    const surplus = endToken[end];
    rowEntries[surplus] -= 1;
    rowEntries[t] += 1;
    let leaver = surplus;
    for (let e = end; e !== -1; e = chainFrom[e]) {
      const joiner = chainFrom[e] === -1 ? t : moveToken[chainFrom[e] * experts + e];
      columnTokens[columnTokens.indexOf(leaver, e * size)] = joiner;
      inColumn[e * rows + leaver] = 0;
      inColumn[e * rows + joiner] = 1;
      chainLeaver[e] = leaver;
      leaver = joiner;
    }
    for (let e = end; e !== -1; e = chainFrom[e]) {
      updateMoves(e, chainLeaver[e], chainFrom[e] === -1 ? t : chainLeaver[chainFrom[e]], rows, size);
      writeEnd(e, rows, size, least);
    }
    for (let e = 0; e < experts; e++) {
      if (endToken[e] === surplus || inColumn[e * rows + t] === 1) writeEnd(e, rows, size, least);
    }
    return true;
  }

  /**
   * Writes into `support` the tokens in `inColumn` and, up to k a column, the others with the largest α − c_e above
   * `floorOf(e)`; returns how many others.
   */
  function fillSupport(support: SparsePlan, rows: number, k: number, floorOf: (e: number) => number): number {
    let entries = 0;
    let added = 0;
    for (let e = 0; e < experts; e++) {
      const column = e * rows;
      const floor = floorOf(e);
      let members = 0;
      let count = 0;
      for (let t = 0; t < rows; t++) {
        if (inColumn[column + t] === 1) {
          members += 1;
          continue;
        }
        const value = alpha[t] - cost[column + t];
        if (value > floor) {
          keptToken[count] = t;
          keptValue[count++] = value;
        }
      }
      count = members < k ? keepLargest(count, k - members) : 0;
      added += count;
      for (let i = 0; i < count; i++) inColumn[column + keptToken[i]] = 1;
      for (let t = 0; t < rows; t++) if (inColumn[column + t] === 1) support.token[entries++] = t;
      support.columnStart[e + 1] = entries;
    }
    return added;
  }

  /** Step 3 above: writes the masses of `support`; returns the steps taken. */
  function solveOnSupport(support: SparsePlan, rows: number): number {
    const x = variables.subarray(0, rows + experts);
    writePotentials(x, rows);
    const f = (at: Float64Array, gradient: Float64Array) => negativeSupportDual(at, gradient, rows, support);
    const { iterations } = lbfgs.minimize(f, x, gradientScale.subarray(0, x.length), {
      maxIterations,
      tolerance: tolerance / 2,
    });
    // The last call of the function need not have been at the point returned.
    readPotentials(x, rows);
    for (let e = 0; e < experts; e++) {
      for (let i = support.columnStart[e]; i < support.columnStart[e + 1]; i++) {
        const t = support.token[i];
        support.mass[i] = Math.max(0, alpha[t] + beta[e] - cost[e * rows + t]) / gamma;
      }
    }
    return iterations;
  }

  /** Steps 1 to 4 above, into `polished`. */
  function polish(rows: number, k: number): { iterations: number; marginalError: number } {
    const least = Math.floor((k * experts) / rows);
    const size = Math.ceil((least * rows) / experts);
    balanceSupport(rows, size, least);
    fillSupport(candidate, rows, size * experts === least * rows ? size : k, () => Number.NEGATIVE_INFINITY);
    let iterations = solveOnSupport(candidate, rows);
    let marginalError = normaliseRows(candidate, rows);
    let primal = primalOf(candidate, rows);
    copyPlan(candidate, polished);
    for (let round = 0; round < maxRefinements && marginalError <= tolerance; round++) {
      inColumn.fill(0, 0, experts * rows);
      for (let e = 0; e < experts; e++) {
        for (let i = candidate.columnStart[e]; i < candidate.columnStart[e + 1]; i++) {
          if (candidate.mass[i] > 0) inColumn[e * rows + candidate.token[i]] = 1;
        }
      }
      if (fillSupport(candidate, rows, k, (e) => -beta[e]) === 0) break;
      iterations += solveOnSupport(candidate, rows);
      const refinedError = normaliseRows(candidate, rows);
      const refined = primalOf(candidate, rows);
      if (refinedError > tolerance || refined >= primal) break;
      marginalError = refinedError;
      primal = refined;
      copyPlan(candidate, polished);
    }
    return { iterations, marginalError };
  }

  return {
    solve(problem) {
      const rows = problem.tokens;
      const k = Math.min(rows, problem.maxTokens);
      readCost(problem);
      writeGradientScale(rows);
      const x = variables.subarray(0, formulation === "dual" ? rows + experts : rows);
      x.fill(gamma, 0, rows).fill(0, rows);
      const f = (at: Float64Array, gradient: Float64Array) => negativeDual(at, gradient, rows, k);
      // Dividing the rows by their sums moves their error to the columns: half for either.
      const { value, iterations } = lbfgs.minimize(f, x, gradientScale.subarray(0, x.length), {
        maxIterations,
        tolerance: tolerance / 2,
      });
      let dual = -value;
      for (let t = 0; t < rows; t++) dual += rowCost[t];
      readPotentials(x, rows);
      recoverPlan(rows, k);
      let marginalError = normaliseRows(plan, rows);
      let polishIterations = 0;
      if (marginalError > tolerance && k < rows && k * experts >= rows) {
        const outcome = polish(rows, k);
        polishIterations = outcome.iterations;
        if (outcome.marginalError < marginalError) {
          marginalError = outcome.marginalError;
          copyPlan(polished, plan);
        }
      }
      let maxColumnCardinality = 0;
      for (let e = 0; e < experts; e++) {
        columnCardinality[e] = 0;
        for (let i = plan.columnStart[e]; i < plan.columnStart[e + 1]; i++) {
          if (plan.mass[i] > 0) columnCardinality[e] += 1;
        }
        maxColumnCardinality = Math.max(maxColumnCardinality, columnCardinality[e]);
      }
      const primal = primalOf(plan, rows);
      return {
        plan,
        columnCardinality,
        maxColumnCardinality,
        iterations,
        polishIterations,
        marginalError,
        converged: marginalError <= tolerance,
        primal,
        dual,
        dualityGap: primal - dual,
      };
    },
  };
}
