import { range } from "d3-array";
import { z } from "zod";
import type { Kernels } from "../../kernels/kernels.ts";
import { mostAssignmentExperts } from "../assignment/exact-assignment.ts";
import { betaScale, createPotentials } from "../entropic/potentials.ts";
import { createAdam } from "../optimise/adam.ts";
import { createLbfgs, type Stall } from "../optimise/lbfgs.ts";
import { createCardinalityDual } from "./cardinality-dual.ts";
import { createColumnCosts } from "./column-costs.ts";
import {
  copySparsePlan,
  countNonZeros,
  createSparsePlan,
  normaliseRows,
  primalValue,
  type SparsePlan,
} from "./sparse-plan.ts";
import { createSupportSearch } from "./support-search.ts";

/** Options of {@link createSparsityConstrainedSolver}, for the schemas of routers that use it. */
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
  solver: z
    .enum(["lbfgs", "adam"])
    .default("lbfgs")
    .describe("What climbs it: L-BFGS to the tolerance, or Adam, which always takes maxIterations steps from 0."),
  learningRate: z.number().positive().default(0.01).describe("Learning rate of Adam, in units of the cost."),
  maxIterations: z.number().int().nonnegative().default(200).describe("Most steps on the dual per batch."),
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
  /** At least `tokens · experts` entries, row-major; finite, or −∞ for pairs that may have no mass. */
  readonly affinity: Float32Array;
  /** T, at most the tokens the solver was created for. */
  readonly tokens: number;
  /** k ≥ 1, at most the `maxTokens` the solver was created for; T or more does not constrain. */
  readonly maxTokens: number;
}

/** The arrays belong to the solver, and the next problem overwrites them. */
export interface SparsityConstrainedSolution {
  /** Rows sum to 1, except all-zero rows. */
  readonly plan: SparsePlan;
  /** Non-zeros of each column `[experts]`, at most k. */
  readonly columnCardinality: Int32Array;
  readonly maxColumnCardinality: number;
  /** Steps of L-BFGS or Adam, on the dual and on supports. */
  readonly iterations: number;
  /** Those of them on supports that were searched for to replace the dual's own; 0 if there was no search. */
  readonly polishIterations: number;
  /** (‖P·1 − 1‖₁ + ‖Pᵀ·1 − T/E‖₁) / T of this plan, in [0, 2]. */
  readonly marginalError: number;
  /** Whether `marginalError` is at most the tolerance. */
  readonly converged: boolean;
  /** ⟨C, P⟩ + (γ/2)·‖P‖² of this plan. */
  readonly primal: number;
  /** The semi-dual at the α found: a lower bound on the primal value of every feasible plan. */
  readonly dual: number;
  /**
   * `primal − dual`. A converged plan is at most this far from the best one, up to the tolerance. The gap stays above 0 if
   * the constraint binds, because the problem is not convex. If the plan misses its marginals, the gap bounds nothing and
   * may be negative.
   */
  readonly dualityGap: number;
}

/** Solves problems of one size with buffers allocated once. */
export interface SparsityConstrainedSolver {
  solve(problem: SparsityConstrainedProblem): SparsityConstrainedSolution;
}

/**
 * {@link createSparsityConstrainedSolver} for affinities of −∞. Tokens and experts without any other entry are left out, and
 * T and E count those that remain. A disabled pair of theirs costs so much that it gets mass only if the marginals leave no
 * choice. Such mass is removed and counts in the marginal error.
 */
export function createDisablingSolver(
  kernels: Kernels,
  mostTokens: number,
  experts: number,
  mostColumnTokens: number,
  options: SparsityConstrainedOptions,
): SparsityConstrainedSolver {
  const solvers = new Map<number, SparsityConstrainedSolver>();
  const affinity = new Float32Array(mostTokens * experts);
  const none = Number.NEGATIVE_INFINITY;

  function solverFor(columns: number): SparsityConstrainedSolver {
    const solver =
      solvers.get(columns) ?? createSparsityConstrainedSolver(kernels, mostTokens, columns, mostColumnTokens, options);
    solvers.set(columns, solver);
    return solver;
  }

  /** The problem without empty rows and columns, and which ones are left. */
  function compact({ affinity: given, tokens }: SparsityConstrainedProblem) {
    const isOpen = (entry: number) => given[entry] > none;
    const rows = range(tokens).filter((t) => range(t * experts, (t + 1) * experts).some(isOpen));
    const columns = range(experts).filter((e) => rows.some((t) => isOpen(t * experts + e)));
    let [least, most] = [Number.POSITIVE_INFINITY, none];
    for (let entry = 0; entry < tokens * experts; entry++) {
      if (!isOpen(entry)) continue;
      least = Math.min(least, given[entry]);
      most = Math.max(most, given[entry]);
    }
    const closed = least - 100 * (most - least + options.gamma);
    rows.forEach((t, row) => {
      columns.forEach((e, column) => {
        affinity[row * columns.length + column] = Math.max(closed, given[t * experts + e]);
      });
    });
    return { rows, columns };
  }

  return {
    solve(problem) {
      const { rows, columns } = compact(problem);
      if (rows.length === 0) return emptySolution(problem.tokens, experts);
      const { maxTokens } = problem;
      const least = Math.ceil(rows.length / Math.max(1, columns.length));
      const solution = solverFor(columns.length).solve({
        affinity,
        tokens: rows.length,
        maxTokens: Math.max(least, maxTokens),
      });
      const plan = createSparsePlan(problem.tokens, experts, solution.plan.token.length);
      const columnCardinality = new Int32Array(experts);
      let entries = 0;
      let taken = 0;
      let column = 0;
      for (let e = 0; e < experts; e++) {
        if (columns[column] === e) {
          const { columnStart, token, mass } = solution.plan;
          for (let from = columnStart[column]; from < columnStart[column + 1]; from++) {
            const t = rows[token[from]];
            if (problem.affinity[t * experts + e] === none) {
              taken += mass[from];
              continue;
            }
            plan.token[entries] = t;
            plan.mass[entries++] = mass[from];
            columnCardinality[e] += mass[from] > 0 ? 1 : 0;
          }
          column += 1;
        }
        plan.columnStart[e + 1] = entries;
      }
      normaliseRows(plan, problem.tokens);
      rows.forEach((t, row) => {
        plan.rowSum[t] *= solution.plan.rowSum[row];
      });
      // The removed mass is missing in its row and column, or moves to other columns of the row.
      const marginalError = Math.min(2, solution.marginalError + (2 * taken) / rows.length);
      return {
        ...solution,
        plan,
        columnCardinality,
        maxColumnCardinality: columnCardinality.reduce((most, count) => Math.max(most, count), 0),
        marginalError,
        converged: marginalError <= options.tolerance,
      };
    },
  };
}

/** The plan of a problem in which no token can have an expert. */
function emptySolution(tokens: number, experts: number): SparsityConstrainedSolution {
  return {
    plan: createSparsePlan(tokens, experts, 0),
    columnCardinality: new Int32Array(experts),
    maxColumnCardinality: 0,
    iterations: 0,
    polishIterations: 0,
    marginalError: 0,
    converged: true,
    primal: 0,
    dual: 0,
    dualityGap: 0,
  };
}

// If the constraint binds, the steps become ever shorter at a kink.
const stall = { steps: 20, decrease: 5e-5, gradient: 0.05 };
/** If nearly all columns are at their limit, a support will give the plan, and the dual only has to give the bound. */
const bindingStall = { steps: 10, decrease: 1e-3, gradient: 0.05 };
const bindingShare = 0.9;
/** A gap up to this, relative to the plan's value without the tokens' least costs, is not reduced further. */
const smallGap = 0.002;

/** Result of one way to find a plan, which is in the solver's `plan`. */
type Solved = Pick<SparsityConstrainedSolution, "iterations" | "polishIterations" | "marginalError"> & {
  /** Semi-dual at the α found. */
  readonly value: number;
};

/**
 * Sparsity-constrained optimal transport (Liu, Puigcerver & Blondel 2022, arXiv 2209.15466). L-BFGS maximises the dual or
 * the semi-dual of `cardinality-dual.ts`; the plan follows from the gradient, with rows divided by their sums. The gradient
 * is the error of the rows, relative to 1, and of the columns, relative to T/E.
 *
 * With k ≥ T there is no constraint, and plans are the quadratically regularised ones (Blondel, Seguy & Rolet 2018). If k
 * binds and the plan misses its marginals, `support-search.ts` looks for a better support, and its plan is returned if its
 * marginal error is smaller. Example: for T = 48, E = 6, k = 12, γ = 0.5 the dual's own plan misses its marginals by 0.2, and
 * the one returned by 3e-6.
 *
 * If that support does not depend on the potentials, as by default, when k·E is a multiple of T, the search comes first. The
 * prices of its exact assignment then give an α whose bound is near the maximum: at 8192 × 256 and γ = 1 it is as high as
 * after 20 steps of L-BFGS from the rows. If the gap is still large, L-BFGS continues from there and stops early.
 *
 * @param mostTokens maximum tokens of a problem
 * @param mostColumnTokens largest k of a problem
 */
export function createSparsityConstrainedSolver(
  kernels: Kernels,
  mostTokens: number,
  experts: number,
  mostColumnTokens: number,
  options: SparsityConstrainedOptions,
): SparsityConstrainedSolver {
  const { formulation, solver, learningRate, gamma, maxIterations, tolerance } = options;
  const mostEntries = experts * Math.min(mostTokens, mostColumnTokens);
  const costs = createColumnCosts(kernels, mostTokens, experts);
  const potentials = createPotentials(kernels, mostTokens, experts);
  const dual = createCardinalityDual(kernels, costs, potentials, formulation, gamma, mostEntries);
  const lbfgs = createLbfgs(mostTokens + experts);
  const adam = createAdam(mostTokens + experts);
  const supports = createSupportSearch(kernels, costs, potentials, lbfgs, gamma, mostEntries);
  const variables = new Float64Array(mostTokens + experts);
  const gradientScale = new Float64Array(mostTokens + experts);
  const plan = createSparsePlan(mostTokens, experts, mostEntries);
  const columnCardinality = new Int32Array(experts);
  // Dividing the rows by their sums moves their error to the columns, so each may have half.
  const lbfgsOptions = { maxIterations, tolerance: tolerance / 2 };

  /** Returns minus the dual as a function of the variables, for solvers that minimise. */
  const negativeDual = (k: number) => (at: Float64Array, gradient: Float64Array) => dual.negativeValue(at, gradient, k);

  /** Returns the variables of the dual, and sets the gradient's scales to theirs. */
  function dualVariables(): Float64Array {
    const { tokens } = costs;
    gradientScale.fill(1, 0, tokens).fill(betaScale(tokens, experts), tokens);
    return variables.subarray(0, dual.dimension());
  }

  /** Maximises the dual from `x` by L-BFGS, sets the potentials, and returns the number of steps. */
  function climb(x: Float64Array, k: number, stalls: readonly Stall[]): number {
    const scale = gradientScale.subarray(0, x.length);
    const { iterations } = lbfgs.minimize(negativeDual(k), x, scale, { ...lbfgsOptions, stalls });
    // The function was not necessarily called last at the point returned.
    potentials.read(x, costs.tokens);
    return iterations;
  }

  /** Writes the dual's plan to `plan`. Returns its marginal error. */
  function takeDualPlan(k: number): number {
    dual.writePlan(plan, k);
    return normaliseRows(plan, costs.tokens);
  }

  /** Takes exactly `maxIterations` steps of Adam from 0. */
  function solveByAdam(k: number): Solved {
    const x = dualVariables();
    dual.writeZero(x);
    // The variables hold β times a scale; this makes a step of β as long as one of α.
    adam.minimize(negativeDual(k), x, gradientScale.subarray(0, x.length), { maxIterations, learningRate });
    potentials.read(x, costs.tokens);
    const marginalError = takeDualPlan(k);
    return { iterations: maxIterations, polishIterations: 0, marginalError, value: dual.bound(k) };
  }

  /** Maximises the dual. Takes its plan, or that of a support if it was searched for and misses its marginals by less. */
  function solveFromDual(k: number, isSearched: boolean): Solved {
    const x = dualVariables();
    dual.writeStart(x, k);
    const iterations = climb(x, k, k < costs.tokens ? [stall] : []);
    let marginalError = takeDualPlan(k);
    const value = dual.bound(k);
    let polishIterations = 0;
    if (isSearched && marginalError > tolerance) {
      const found = supports.search(k, lbfgsOptions);
      polishIterations = found.iterations;
      if (found.marginalError < marginalError) {
        marginalError = found.marginalError;
        copySparsePlan(supports.plan, plan);
      }
    }
    return { iterations: iterations + polishIterations, polishIterations, marginalError, value };
  }

  /**
   * Searches for a support first, and maximises the dual only for the bound, from the prices of the assignment: often these
   * are near enough to need no step. Returns undefined if more than a few columns are below their limit, or no support has
   * a plan.
   */
  function solveFromSupport(k: number): Solved | undefined {
    const x = dualVariables();
    dual.writeStart(x, k);
    if (dual.bindingShare(k) < bindingShare) return undefined;
    const found = supports.search(k, lbfgsOptions);
    if (found.marginalError > tolerance) return undefined;
    const primal = primalValue(supports.plan, costs, gamma);
    supports.writeAssignmentPrices();
    dual.writeBest(x, k);
    let iterations = found.iterations;
    let marginalError = Number.POSITIVE_INFINITY;
    if (primal - dual.bound(k) > smallGap * shiftedValue(primal)) {
      const isHere = () => dual.bindingShare(k) >= bindingShare;
      iterations += climb(x, k, [stall, { ...bindingStall, isHere }]);
      // If the limit binds nowhere near the top, the dual's own plan is the best.
      marginalError = takeDualPlan(k);
    }
    const value = dual.bound(k);
    if (marginalError <= tolerance) return { iterations, polishIterations: found.iterations, marginalError, value };
    copySparsePlan(supports.plan, plan);
    return { iterations, polishIterations: found.iterations, marginalError: found.marginalError, value };
  }

  /** A primal value less what the least cost of each token makes of it: what a constant added to a row's costs leaves alone. */
  function shiftedValue(primal: number): number {
    let least = 0;
    for (let t = 0; t < costs.tokens; t++) least += costs.rowCost[t];
    return primal - least;
  }

  function solveProblem(k: number): Solved {
    if (solver === "adam") return solveByAdam(k);
    const { tokens } = costs;
    // Another support may carry a plan, and can be searched for.
    const isSearched = k < tokens && k * experts >= tokens && experts <= mostAssignmentExperts;
    const isFixed = isSearched && !supports.dependsOnStart(k);
    return (isFixed ? solveFromSupport(k) : undefined) ?? solveFromDual(k, isSearched);
  }

  return {
    solve({ affinity, tokens, maxTokens }) {
      const k = Math.min(tokens, maxTokens);
      costs.read(affinity, tokens);
      const solved = solveProblem(k);
      const { iterations, polishIterations, marginalError, value } = solved;
      const maxColumnCardinality = countNonZeros(plan, columnCardinality);
      const primal = primalValue(plan, costs, gamma);
      return {
        plan,
        columnCardinality,
        maxColumnCardinality,
        iterations,
        polishIterations,
        marginalError,
        converged: marginalError <= tolerance,
        primal,
        dual: value,
        dualityGap: primal - value,
      };
    },
  };
}
