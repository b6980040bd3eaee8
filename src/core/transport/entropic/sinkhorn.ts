import type { Kernels } from "../../kernels/kernels.ts";
import type { EntropicMethod, EntropicProblem, EntropicTerms } from "./entropic-problem.ts";

// Up to this range of exponents, Gibbs entries are at least e^-40 and ratios of column scalings at most e^40, so that all
// their products are normal float32 numbers.
const gibbsRange = 40;
// The float32 sweep measures the marginal error to about 1e-6; finer tolerances need float64.
const gibbsTolerance = 1e-5;

/**
 * Rounding error of the log of a column's scaling if the exponents of the Gibbs kernel reach `range`: the relative error of
 * its entries, 2.5e-7 + 1.8e-7·range, plus 2.5e-7 for the float32 products of a sweep.
 */
const gibbsError = (range: number) => 5e-7 + 1.8e-7 * range;

const none = Number.NEGATIVE_INFINITY;

/** Number of columns with a sum, and so with an entry other than −∞. */
export function countActive(logColumnSum: Float64Array): number {
  let active = 0;
  for (const sum of logColumnSum) if (sum > none) active += 1;
  return active;
}

/** g_e += logTarget − log s_e of the columns that have a sum, then shifts all so that the largest is 0. */
export function balanceColumns(potential: Float64Array, logColumnSum: Float64Array, logTarget: number): void {
  let largest = none;
  for (let e = 0; e < potential.length; e++) {
    if (logColumnSum[e] === none) continue;
    potential[e] += logTarget - logColumnSum[e];
    largest = Math.max(largest, potential[e]);
  }
  for (let e = 0; e < potential.length; e++) {
    if (logColumnSum[e] === none) potential[e] = 0;
    else potential[e] -= largest;
  }
}

/** Sinkhorn's sweeps over one problem after another. */
export interface SinkhornSweeps {
  /** g `[experts]`, at most 0. */
  readonly columnPotential: Float64Array;
  /** See `EntropicSolution.potentialError`. */
  readonly potentialError: number;
  /** Starts with g = 0 and returns the marginal error of its plan. */
  start(problem: EntropicProblem): number;
  /** Updates the columns, then the rows, and returns the marginal error of the new plan. */
  next(): number;
}

/**
 * One sweep is
 *
 *     g_e += log(T/E) − log s_e;  rows exact;  s_e = Σ_t P_te
 *
 * There are two implementations: with a float32 Gibbs kernel exp((Z − max)/ε) that is computed once, if the range of its
 * exponents and the tolerance allow it, else in float64 in the log domain. Both are finite for every |Z| ≤ 1e4 and ε ≥ 1e-3.
 * Adding a constant to g changes no plan, so its largest entry is kept at 0 and no scaling overflows.
 *
 * @param tokens the most tokens of a problem
 */
export function createSinkhornSweeps(
  kernels: Kernels,
  tokens: number,
  experts: number,
  { epsilon, tolerance }: EntropicTerms,
): SinkhornSweeps {
  const columnPotential = kernels.allocateFloat64(experts);
  const logColumnSum = kernels.allocateFloat64(experts);
  const columnSum = kernels.allocateFloat64(experts);
  const columnScaling = kernels.allocateFloat32(experts);
  const rowLogSum = kernels.allocateFloat64(tokens);
  const mayUseGibbs = tolerance >= gibbsTolerance;
  const gibbs = kernels.allocateFloat32(mayUseGibbs ? tokens * experts : 0);
  let problem: EntropicProblem;
  let useGibbs = false;
  let potentialError = 0;
  /** Experts that have entries; the potentials of the others do not matter. */
  let active = experts;

  function sweepLogits(): void {
    const { logits } = problem;
    kernels.logSinkhornSweep(logits, epsilon, columnPotential, problem.tokens, experts, rowLogSum, logColumnSum);
    for (let e = 0; e < experts; e++) columnSum[e] = Math.exp(logColumnSum[e]);
  }

  function sweepGibbs(): void {
    for (let e = 0; e < experts; e++) columnScaling[e] = Math.exp(columnPotential[e]);
    kernels.sinkhornSweep(gibbs, columnScaling, problem.tokens, experts, columnSum);
    takeLogarithms();
  }

  function takeLogarithms(): void {
    for (let e = 0; e < experts; e++) logColumnSum[e] = Math.log(columnSum[e]);
  }

  function marginalError(): number {
    const target = problem.tokens / active;
    let error = 0;
    for (let e = 0; e < experts; e++) if (logColumnSum[e] > none) error += Math.abs(columnSum[e] - target);
    return error / problem.tokens;
  }

  return {
    columnPotential,
    get potentialError() {
      return potentialError;
    },
    start(next) {
      problem = next;
      columnPotential.fill(0);
      const range = mayUseGibbs
        ? kernels.gibbsSweep(problem.logits, epsilon, problem.tokens, experts, gibbs, columnSum)
        : Number.POSITIVE_INFINITY;
      useGibbs = range <= gibbsRange;
      potentialError = useGibbs ? gibbsError(range) : 0;
      if (useGibbs) takeLogarithms();
      else sweepLogits();
      active = countActive(logColumnSum);
      return marginalError();
    },
    next() {
      balanceColumns(columnPotential, logColumnSum, Math.log(problem.tokens / active));
      if (useGibbs) sweepGibbs();
      else sweepLogits();
      return marginalError();
    },
  };
}

/**
 * Sinkhorn's algorithm (Cuturi 2013, arXiv 1306.0895; BASE and S-BASE use it for routing, arXiv 2202.01169):
 *
 *     g = 0
 *     repeat: rows exact;  s_e = Σ_t P_te;  stop when Σ_e |s_e − T/E| / T ≤ tolerance;  g_e += log(T/E) − log s_e
 *
 * One more sweep measures the returned plan.
 *
 * @param tokens the most tokens of a problem
 */
export function createSinkhorn(
  kernels: Kernels,
  tokens: number,
  experts: number,
  terms: EntropicTerms,
): EntropicMethod {
  const { maxIterations, tolerance } = terms;
  const sweeps = createSinkhornSweeps(kernels, tokens, experts, terms);
  const { columnPotential } = sweeps;
  return {
    columnPotential,
    solve(problem) {
      let marginalError = sweeps.start(problem);
      let iterations = 0;
      while (marginalError > tolerance && iterations < maxIterations) {
        marginalError = sweeps.next();
        iterations += 1;
      }
      return {
        columnPotential,
        potentialError: sweeps.potentialError,
        iterations,
        sweeps: iterations,
        marginalError,
        converged: marginalError <= tolerance,
      };
    },
  };
}
