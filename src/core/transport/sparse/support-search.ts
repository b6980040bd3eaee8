import type { Kernels } from "../../kernels/kernels.ts";
import { type AssignmentSolver, createAssignmentSolver } from "../assignment/exact-assignment.ts";
import { betaScale, type Potentials } from "../entropic/potentials.ts";
import type { Lbfgs, LbfgsOptions } from "../optimise/lbfgs.ts";
import type { ColumnCosts } from "./column-costs.ts";
import { createSelection, keepLargest } from "./column-selection.ts";
import { copySparsePlan, createSparsePlan, normaliseRows, primalValue, type SparsePlan } from "./sparse-plan.ts";
import { createSupportDual } from "./support-dual.ts";

export interface SupportSearchReport {
  /** L-BFGS steps on the duals of the supports tried. */
  readonly iterations: number;
  /** As {@link normaliseRows} reports it. */
  readonly marginalError: number;
}

/** Looks for a support with at most k tokens a column that carries a plan, starting from the potentials. */
export interface SupportSearch {
  /** The plan found last. */
  readonly plan: SparsePlan;
  /** T/E ≤ k < T. */
  search(k: number, options: LbfgsOptions): SupportSearchReport;
}

/** Tokens whose scores are written together, while a block of them is in cache. */
const blockTokens = 16;

const maxRounds = 8;

/**
 * Where the cardinality binds, transport is not a convex problem and its dual has a kink at the optimum: the columns p
 * taken there leave rows empty. The search finds a plan of another support:
 *
 *  1. m = ⌊kE/T⌋ entries a row and at most ⌈mT/E⌉ ≤ k a column, of the least total cost: the exact assignment, whose
 *     prices are searched from −β. When E divides mT the plan of 1/m everywhere is feasible on it.
 *  2. where E does not divide mT, columns with fewer than k are filled by their largest α − c_e.
 *  3. the quadratically regularised plan on that support, by its own smooth dual, of E·k entries.
 *  4. entries with no mass give way to the ones outside with the largest α − c_e + β_e > 0, up to k a column, and 3 is
 *     repeated while the primal value falls.
 *
 * Last, rows are divided by their sums.
 */
export function createSupportSearch(
  kernels: Kernels,
  costs: ColumnCosts,
  potentials: Potentials,
  lbfgs: Lbfgs,
  gamma: number,
  mostEntries: number,
): SupportSearch {
  const { cost, experts } = costs;
  const { alpha, beta } = potentials;
  const selection = createSelection(alpha.length);
  const plan = createSparsePlan(alpha.length, experts, mostEntries);
  const candidate = createSparsePlan(alpha.length, experts, mostEntries);
  // `[experts × tokens]`, entry e·tokens + t is 1 where token t is in column e of the support.
  const isMember = new Uint8Array(experts * alpha.length);
  // By the entries of a row; most solvers only ever see one.
  const assigners = new Map<number, AssignmentSolver>();
  const scores = kernels.allocateFloat64(alpha.length * experts);
  const dual = createSupportDual(costs, potentials, gamma, mostEntries);
  const memberCount = new Int32Array(experts);
  const variables = new Float64Array(alpha.length + experts);
  const gradientScale = new Float64Array(alpha.length + experts);

  /** Makes members of the up to `count` others of column e with the largest α − c_e above `floor`; returns how many. */
  function admit(e: number, count: number, floor: number): number {
    const { tokens } = costs;
    const column = e * tokens;
    let others = 0;
    for (let t = 0; t < tokens; t++) {
      const value = alpha[t] - cost[column + t];
      if (!(value > floor) || isMember[column + t] === 1) continue;
      selection.token[others] = t;
      selection.value[others++] = value;
    }
    const admitted = keepLargest(selection, others, count);
    for (let i = 0; i < admitted; i++) isMember[column + selection.token[i]] = 1;
    return admitted;
  }

  function writeSupport(): void {
    const { tokens } = costs;
    let entries = 0;
    for (let e = 0; e < experts; e++) {
      const column = e * tokens;
      for (let t = 0; t < tokens; t++) if (isMember[column + t] === 1) candidate.token[entries++] = t;
      candidate.columnStart[e + 1] = entries;
    }
  }

  /** Scores so far above 0 that an assignment with a pair more is always worth more, whatever it moves. */
  function writeScores(): void {
    const { tokens } = costs;
    let largest = 0;
    for (let entry = 0; entry < experts * tokens; entry++) largest = Math.max(largest, cost[entry]);
    const base = (experts + 1) * largest + Number.MIN_VALUE;
    for (let first = 0; first < tokens; first += blockTokens) {
      const end = Math.min(tokens, first + blockTokens);
      for (let e = 0; e < experts; e++) {
        for (let t = first; t < end; t++) scores[t * experts + e] = base - cost[e * tokens + t];
      }
    }
  }

  function assignerOf(rowEntries: number): AssignmentSolver {
    const assigner =
      assigners.get(rowEntries) ?? createAssignmentSolver(kernels, alpha.length, experts, rowEntries, { gap: 0 });
    assigners.set(rowEntries, assigner);
    return assigner;
  }

  /** Steps 1 and 2. */
  function chooseSupport(k: number): void {
    const { tokens } = costs;
    const rowEntries = Math.floor((k * experts) / tokens);
    const assigner = assignerOf(rowEntries);
    const largest = beta.reduce((most, own) => Math.max(most, own), Number.NEGATIVE_INFINITY);
    for (let e = 0; e < experts; e++) assigner.price[e] = largest - beta[e];
    writeScores();
    const { expert } = assigner.solve({ scores, tokens, capacity: Math.ceil((rowEntries * tokens) / experts) });
    isMember.fill(0, 0, experts * tokens);
    memberCount.fill(0);
    for (let pair = 0; pair < tokens * rowEntries; pair++) {
      isMember[expert[pair] * tokens + Math.floor(pair / rowEntries)] = 1;
      memberCount[expert[pair]] += 1;
    }
    for (let e = 0; e < experts && (rowEntries * tokens) % experts !== 0; e++) {
      if (memberCount[e] < k) admit(e, k - memberCount[e], Number.NEGATIVE_INFINITY);
    }
    writeSupport();
  }

  /** Step 4: exchanges entries of the candidate; returns whether any was. */
  function exchangeEntries(k: number): boolean {
    const { columnStart, token, mass } = candidate;
    isMember.fill(0, 0, experts * costs.tokens);
    let admitted = 0;
    for (let e = 0; e < experts; e++) {
      let members = 0;
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) {
        if (mass[i] <= 0) continue;
        isMember[e * costs.tokens + token[i]] = 1;
        members += 1;
      }
      if (members < k) admitted += admit(e, k - members, -beta[e]);
    }
    writeSupport();
    return admitted > 0;
  }

  /** Step 3: writes the masses of the candidate; returns the steps taken. */
  function solveCandidate(options: LbfgsOptions): number {
    const { tokens } = costs;
    const x = variables.subarray(0, tokens + experts);
    potentials.write(x, tokens);
    dual.use(candidate);
    const { iterations } = lbfgs.minimize(dual.negativeValue, x, gradientScale.subarray(0, x.length), options);
    // The last call of the function need not have been at the point returned.
    potentials.read(x, tokens);
    dual.writeMasses();
    return iterations;
  }

  return {
    plan,
    search(k, options) {
      const { tokens } = costs;
      gradientScale.fill(1, 0, tokens).fill(betaScale(tokens, experts), tokens);
      chooseSupport(k);
      let iterations = solveCandidate(options);
      let marginalError = normaliseRows(candidate, tokens);
      let primal = primalValue(candidate, costs, gamma);
      copySparsePlan(candidate, plan);
      // Half of the error of a plan is in its rows until they are divided by their sums.
      const tolerance = 2 * options.tolerance;
      for (let round = 0; round < maxRounds && marginalError <= tolerance && exchangeEntries(k); round++) {
        iterations += solveCandidate(options);
        const nextError = normaliseRows(candidate, tokens);
        const nextPrimal = primalValue(candidate, costs, gamma);
        if (nextError > tolerance || nextPrimal >= primal) break;
        marginalError = nextError;
        primal = nextPrimal;
        copySparsePlan(candidate, plan);
      }
      return { iterations, marginalError };
    },
  };
}
