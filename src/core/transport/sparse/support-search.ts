import { range } from "d3-array";
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

/** Looks for a support with at most k tokens per column that has a plan, starting from the potentials. */
export interface SupportSearch {
  /** The plan found last. */
  readonly plan: SparsePlan;
  /**
   * Whether other potentials may lead to another plan. They do not if the exact assignment fills every column and no
   * tokens are exchanged afterwards.
   */
  dependsOnStart(k: number): boolean;
  /** T/E ≤ k < T. */
  search(k: number, options: LbfgsOptions): SupportSearchReport;
  /**
   * Writes the α at which the columns of the cardinality dual select the entries of the last search's exact assignment, but
   * for ties: minus each token's price, which is the least of its entries' scores less the experts' prices.
   */
  writeAssignmentPrices(): void;
}

const maxRounds = 8;

const maxExchangedEntries = 64;
/** Maximum number of supports that step 5 solves, in all and in a row without an improvement. */
const maxTrials = 400;
const maxFailures = 120;
/** Maximum number of experts for which the north-west corner rule is tried in every order. */
const maxOrderedExperts = 4;
/** Relative decrease from which a value counts as lower. */
const improvement = 1e-9;

/** Returns all orders of 0 … n − 1. */
function permutations(n: number): number[][] {
  if (n === 0) return [[]];
  return permutations(n - 1).flatMap((order) => range(n).map((place) => order.toSpliced(place, 0, n - 1)));
}

/** A neighbour of a support: tokens `first` and `second` swap places in some columns. */
interface Exchange {
  readonly columns: readonly number[];
  readonly first: number;
  readonly second: number;
  /** Estimated change of the primal value. */
  readonly change: number;
}

/**
 * If the cardinality binds, transport is not convex and its dual has a kink at the optimum, where the columns p leave rows
 * empty. The search finds a plan with another support:
 *
 *  1. The exact assignment: m = ⌊kE/T⌋ entries per row and at most ⌈mT/E⌉ ≤ k per column, at the least total cost. If E
 *     divides mT, the plan of 1/m everywhere is feasible on it.
 *  2. If E does not divide mT, fill columns with fewer than k entries by their largest α − c_e.
 *  3. Find the quadratically regularised plan on that support by its own smooth dual, of E·k entries.
 *  4. Replace entries without mass by those outside the support with the largest α − c_e + β_e > 0, up to k per column, and
 *     repeat 3 while the primal value falls.
 *
 *  5. Replace supports of up to {@link maxExchangedEntries} entries, in which single tokens matter most, by neighbours whose
 *     plan has a lower primal value. Two tokens swap places in all columns, which changes the value by at most what
 *     swapping their masses does, or in one or two. If u replaces t in column e, the dual at the potentials changes by
 *     (γ/2)·P_te² − [α_u + β_e − C_ue]_+²/(2γ). The most promising swaps are tried first. If no plan was found, the search
 *     starts from the best north-west corner plan with at most k tokens per column: tokens in the order of their columns, and
 *     columns in every order if there are at most {@link maxOrderedExperts}.
 *
 * Rows are divided by their sums. This is a heuristic; `docs/scot.md` compares it with the mixed-integer optimum.
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
  // `[experts × tokens]`; entry e·tokens + t is 1 if token t is in column e of the support.
  const isMember = new Uint8Array(experts * alpha.length);
  // By entries per row; most solvers need only one.
  const assigners = new Map<number, AssignmentSolver>();
  const scores = kernels.allocateFloat64(alpha.length * experts);
  const assigned = { rowEntries: 1, base: 0 };
  const tokenPrice = kernels.allocateFloat64(alpha.length);
  const load = kernels.allocateFloat64(experts);
  const dual = createSupportDual(costs, potentials, gamma, mostEntries);
  const memberCount = new Int32Array(experts);
  // Support and potentials of the best plan, for step 5.
  const support = new Uint8Array(experts * alpha.length);
  const bestAlpha = new Float64Array(alpha.length);
  const bestBeta = new Float64Array(experts);
  const cornerOrders = experts <= maxOrderedExperts ? permutations(experts) : [range(experts)];
  const variables = new Float64Array(alpha.length + experts);
  const gradientScale = new Float64Array(alpha.length + experts);

  /** Adds up to `count` tokens to column e, those outside with the largest α − c_e above `floor`. Returns how many. */
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

  function countMembers(e: number): number {
    let members = 0;
    for (let t = 0; t < costs.tokens; t++) members += isMember[e * costs.tokens + t];
    return members;
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

  /**
   * Writes scores so far above 0 that an assignment with a pair more is always worth more, whatever it moves; returns what
   * they are above minus the costs.
   */
  function writeScores(): number {
    const { affinity, rowCost, tokens } = costs;
    let largest = 0;
    for (let entry = 0; entry < experts * tokens; entry++) largest = Math.max(largest, cost[entry]);
    const base = (experts + 1) * largest + Number.MIN_VALUE;
    for (let t = 0; t < tokens; t++) {
      const best = -rowCost[t];
      for (let entry = t * experts; entry < (t + 1) * experts; entry++) scores[entry] = base - (best - affinity[entry]);
    }
    return base;
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
    // The search is shorter from 0 than from −β, whose loads are those of a spread-out plan.
    assigner.price.fill(0);
    assigned.rowEntries = rowEntries;
    assigned.base = writeScores();
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

  /** Step 4: replaces entries of the candidate. Returns whether it replaced any. */
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

  /** Step 3: writes the candidate's masses. Returns the number of L-BFGS steps. */
  function solveCandidate(options: LbfgsOptions): number {
    const { tokens } = costs;
    const x = variables.subarray(0, tokens + experts);
    potentials.write(x, tokens);
    dual.use(candidate);
    const { iterations } = lbfgs.minimize(dual.negativeValue, x, gradientScale.subarray(0, x.length), options);
    // The function was not necessarily called last at the point returned.
    potentials.read(x, tokens);
    dual.writeMasses();
    return iterations;
  }

  /**
   * Writes the support of the north-west corner rule, with the experts in this order and the tokens in the order of their
   * best experts. Returns whether it has at most k tokens in each column.
   */
  function writeCorner(k: number, expertOrder: readonly number[]): boolean {
    const { tokens } = costs;
    const home = new Int32Array(tokens);
    for (let t = 0; t < tokens; t++) {
      for (let place = 1; place < experts; place++) {
        const [best, e] = [expertOrder[home[t]], expertOrder[place]];
        if (cost[e * tokens + t] - bestBeta[e] < cost[best * tokens + t] - bestBeta[best]) home[t] = place;
      }
    }
    const order = Array.from(home.keys()).sort((a, b) => home[a] - home[b] || a - b);
    isMember.fill(0, 0, experts * tokens);
    for (let place = 0; place < experts; place++) {
      const [first, end] = [Math.floor((place * tokens) / experts), Math.ceil(((place + 1) * tokens) / experts)];
      if (end - first > k) return false;
      for (const t of order.slice(first, end)) isMember[expertOrder[place] * tokens + t] = 1;
    }
    for (let e = 0; e < experts; e++) admit(e, k - countMembers(e), Number.NEGATIVE_INFINITY);
    writeSupport();
    return true;
  }

  /** Returns the neighbours of the best plan's support, most promising first. */
  function listExchanges(): Exchange[] {
    const { tokens } = costs;
    const { columnStart, token, mass } = plan;
    const dense = new Float64Array(experts * tokens);
    for (let e = 0; e < experts; e++) {
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) dense[e * tokens + token[i]] = mass[i];
    }
    const exchanges: Exchange[] = [];
    const every = range(experts);

    /** What it changes the dual at the potentials if `leaver` gives way to `joiner` in column e. */
    function changeOf(e: number, leaver: number, joiner: number): number {
      const slack = Math.max(0, bestAlpha[joiner] + bestBeta[e] - cost[e * tokens + joiner]);
      return (gamma / 2) * dense[e * tokens + leaver] ** 2 - (slack * slack) / (2 * gamma);
    }

    for (let first = 0; first < tokens; first++) {
      for (let second = 0; second < first; second++) {
        let change = 0;
        for (let column = 0; column < experts * tokens; column += tokens) {
          change += (cost[column + first] - cost[column + second]) * (dense[column + second] - dense[column + first]);
        }
        exchanges.push({ columns: every, first, second, change });
        const own = every.filter((e) => support[e * tokens + first] > support[e * tokens + second]);
        const others = every.filter((e) => support[e * tokens + first] < support[e * tokens + second]);
        for (const e of own) exchanges.push({ columns: [e], first, second, change: changeOf(e, first, second) });
        for (const f of others) {
          const other = changeOf(f, second, first);
          exchanges.push({ columns: [f], first, second, change: other });
          for (const e of own) {
            exchanges.push({ columns: [e, f], first, second, change: changeOf(e, first, second) + other });
          }
        }
      }
    }
    return exchanges.sort((a, b) => a.change - b.change);
  }

  /** Sets the candidate's support to that of the best plan with tokens swapped. */
  function applyExchange({ columns, first, second }: Exchange): void {
    const { tokens } = costs;
    isMember.set(support.subarray(0, experts * tokens));
    for (const e of columns) {
      isMember[e * tokens + first] = support[e * tokens + second];
      isMember[e * tokens + second] = support[e * tokens + first];
    }
    writeSupport();
  }

  /** Keeps the candidate as the best plan, with its support and potentials. */
  function keepCandidate(): void {
    const { columnStart, token } = candidate;
    copySparsePlan(candidate, plan);
    support.fill(0);
    for (let e = 0; e < experts; e++) {
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) support[e * costs.tokens + token[i]] = 1;
    }
    bestAlpha.set(alpha);
    bestBeta.set(beta);
  }

  /** Step 5, starting from the best plan with the given error and primal value. */
  function exchangeSupports(k: number, options: LbfgsOptions, found: SupportSearchReport, value: number) {
    let { iterations, marginalError } = found;
    let primal = value;
    const tolerance = 2 * options.tolerance;

    /** Solves the candidate; keeps it if it carries a plan that is better. */
    function tryCandidate(): boolean {
      iterations += solveCandidate(options);
      const nextError = normaliseRows(candidate, costs.tokens);
      if (nextError > tolerance) return false;
      const nextPrimal = primalValue(candidate, costs, gamma);
      if (marginalError <= tolerance && nextPrimal >= primal - improvement * Math.abs(primal)) return false;
      marginalError = nextError;
      primal = nextPrimal;
      keepCandidate();
      return true;
    }

    if (marginalError > tolerance) {
      for (const order of cornerOrders) {
        alpha.fill(0);
        beta.fill(0);
        if (writeCorner(k, order)) tryCandidate();
      }
    }
    let failures = 0;
    let exchanges = listExchanges();
    for (let trial = 0, next = 0; trial < maxTrials && failures < maxFailures && next < exchanges.length; trial++) {
      applyExchange(exchanges[next++]);
      alpha.set(bestAlpha);
      beta.set(bestBeta);
      failures += 1;
      if (!tryCandidate()) continue;
      failures = 0;
      next = 0;
      exchanges = listExchanges();
    }
    return { iterations, marginalError };
  }

  return {
    plan,
    dependsOnStart: (k) => k * experts <= maxExchangedEntries || (k * experts) % costs.tokens !== 0,
    search(k, options) {
      const { tokens } = costs;
      gradientScale.fill(1, 0, tokens).fill(betaScale(tokens, experts), tokens);
      chooseSupport(k);
      let iterations = solveCandidate(options);
      let marginalError = normaliseRows(candidate, tokens);
      let primal = primalValue(candidate, costs, gamma);
      keepCandidate();
      // Half of a plan's error is in its rows until they are divided by their sums.
      const tolerance = 2 * options.tolerance;
      for (let round = 0; round < maxRounds && marginalError <= tolerance && exchangeEntries(k); round++) {
        iterations += solveCandidate(options);
        const nextError = normaliseRows(candidate, tokens);
        const nextPrimal = primalValue(candidate, costs, gamma);
        if (nextError > tolerance || nextPrimal >= primal) break;
        marginalError = nextError;
        primal = nextPrimal;
        keepCandidate();
      }
      const found = { iterations, marginalError };
      const isSmall = k * experts <= maxExchangedEntries && options.maxIterations > 0;
      return isSmall ? exchangeSupports(k, options, found, primal) : found;
    },
    writeAssignmentPrices() {
      const { tokens } = costs;
      const { rowEntries, base } = assigned;
      const { price } = assignerOf(rowEntries);
      tokenPrice.fill(Number.NaN);
      kernels.relaxedTopK(
        scores,
        price,
        0,
        Number.NEGATIVE_INFINITY,
        tokens,
        experts,
        rowEntries,
        tokenPrice,
        load,
        null,
      );
      for (let t = 0; t < tokens; t++) alpha[t] = base - tokenPrice[t];
    },
  };
}
