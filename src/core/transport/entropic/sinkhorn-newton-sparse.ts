import type { Kernels } from "../../kernels/kernels.ts";
import { createNewton } from "../optimise/newton.ts";
import { createEntropicDual } from "./entropic-dual.ts";
import type { EntropicMethod, EntropicProblem, EntropicSolution, EntropicTerms } from "./entropic-problem.ts";
import { createSinkhornSweeps } from "./sinkhorn.ts";

// Sweeps before Newton steps: they cost a fraction of a step, and they move the experts that few tokens want.
const firstSweeps = 3;
// Sinkhorn continues alone while this many more sweeps would suffice at its current rate: about the cost of the Newton
// steps for nearly uniform rows, whose Hessian is dense.
const patience = 40;
// A path starts at an ε at which the exponents of a row differ by at most this, and ε falls by this factor along it.
const pathRange = 20;
const pathFactor = 4;
// ε falls when the marginal error is below this: the plan is then a good start for the next ε.
const pathTolerance = 0.005;
// Iterations expected for each ε on the path, and twice for the last. With fewer left, sweeps may get further.
const iterationsPerStage = 5;
// In units of ε, as potentials are.
const newtonRadius = 10;

/** max_t (max_e Z_te − min_e Z_te), of the entries that are not −∞ */
function largestRowRange({ logits, tokens }: EntropicProblem, experts: number): number {
  let range = 0;
  for (let row = 0; row < tokens * experts; row += experts) {
    let least = Number.POSITIVE_INFINITY;
    let largest = Number.NEGATIVE_INFINITY;
    for (let entry = row; entry < row + experts; entry++) {
      if (logits[entry] > Number.NEGATIVE_INFINITY) least = Math.min(least, logits[entry]);
      largest = Math.max(largest, logits[entry]);
    }
    range = Math.max(range, largest - least);
  }
  return range;
}

/**
 * Sinkhorn–Newton–Sparse (Tang et al. 2024, arXiv 2401.12253, algorithm 1):
 *
 *     1. a few Sinkhorn sweeps
 *     2. repeat  H = the Hessian of the dual F at g, made sparse
 *                d = −H⁻¹·∇F by conjugate gradients
 *                g = g + α·d, α by a line search
 *        until ‖∇F‖₁, the marginal error, is at most the tolerance
 *
 * Where this differs from the paper, and why:
 *
 * - The paper steps in the potentials of rows and columns, and keeps the largest entries of a Hessian as large as the
 *   plan. There are many more tokens than experts, so rows are eliminated here: F has E variables (see
 *   `entropic-dual.ts`), rows are exact, and the plan is made sparse before its Hessian is formed, less and less as the
 *   marginal error falls.
 * - A Newton step changes g by a few units, and so ε·g by a few ε, so that the number of steps grows like 1/ε. Therefore ε
 *   starts at a twentieth of the largest range of a row and is divided by 4 whenever the marginal error is below 0.005,
 *   keeping ε·g: the number of steps then grows like log 1/ε.
 * - If Newton's method finds no step, sweeps follow before it is tried again.
 * - While Sinkhorn is about to converge it continues, since a sweep is cheaper than a step; also if there are too few
 *   iterations to do better. If the iterations run out, the better of its plan and the last one is returned.
 *
 * The Hessian is dense in memory, E² numbers twice: 1 GiB for E = 8192.
 *
 * @param tokens the most tokens of a problem
 */
export function createSinkhornNewtonSparse(
  kernels: Kernels,
  tokens: number,
  experts: number,
  terms: EntropicTerms,
): EntropicMethod {
  const { epsilon, maxIterations, tolerance } = terms;
  const sweeps = createSinkhornSweeps(kernels, tokens, experts, terms);
  const { columnPotential } = sweeps;
  const dual = createEntropicDual(kernels, tokens, experts, columnPotential);
  const newton = createNewton(experts);
  const sweptPotential = new Float64Array(experts);
  const potential = new Float64Array(experts);
  const gradient = new Float64Array(experts);
  let iterations = 0;

  /** Continues sweeping from a plan with this error, to the end or while about to converge; returns the error. */
  function sweepOn(error: number, toTheEnd: boolean): number {
    let [latest, isPromising] = [error, true];
    while (latest > tolerance && iterations < maxIterations && isPromising) {
      const previous = latest;
      latest = sweeps.next();
      iterations += 1;
      isPromising = toTheEnd || iterations < firstSweeps || latest * (latest / previous) ** patience <= tolerance;
    }
    return latest;
  }

  /** Alternates sweeps and Newton steps, starting at `potential`; returns the marginal error. */
  function descend(goal: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (;;) {
      for (let sweep = 0; sweep < firstSweeps && iterations < maxIterations; sweep++) {
        dual.evaluate(potential, gradient);
        dual.balanceColumns(potential);
        iterations += 1;
      }
      const report = newton.minimize(dual, potential, {
        maxIterations: maxIterations - iterations,
        tolerance: goal,
        radius: newtonRadius,
        lowerBound: Number.NEGATIVE_INFINITY,
      });
      iterations += report.iterations;
      // Float64 is exhausted if neither sweeps nor steps lower the error.
      const isStuck = report.gradientNorm >= lowest;
      if (report.converged || iterations >= maxIterations || isStuck) return report.gradientNorm;
      lowest = report.gradientNorm;
    }
  }

  /** Newton's method along the path, from the plan of the sweeps; returns the marginal error. */
  function followPath(problem: EntropicProblem, stages: number): number {
    for (let e = 0; e < experts; e++) potential[e] = columnPotential[e] / pathFactor ** stages;
    for (let stage = stages; stage > 0; stage--) {
      dual.use(problem, epsilon * pathFactor ** stage);
      descend(pathTolerance);
      for (let e = 0; e < experts; e++) potential[e] *= pathFactor;
    }
    dual.use(problem, epsilon);
    return descend(tolerance);
  }

  /** @param sweepsMade null if Newton steps, which are in float64, computed the plan */
  function solution(marginalError: number, sweepsMade: number | null): EntropicSolution {
    return {
      columnPotential,
      potentialError: sweepsMade === null ? 0 : sweeps.potentialError,
      iterations,
      sweeps: sweepsMade,
      marginalError,
      converged: marginalError <= tolerance,
    };
  }

  return {
    columnPotential,
    solve(problem) {
      iterations = 0;
      let marginalError = sweepOn(sweeps.start(problem), false);
      if (marginalError > tolerance && iterations < maxIterations) {
        const fall = largestRowRange(problem, experts) / (pathRange * epsilon);
        const stages = Math.max(0, Math.ceil(Math.log(fall) / Math.log(pathFactor)));
        const isWithinReach = maxIterations - iterations >= iterationsPerStage * (stages + 2);
        if (isWithinReach) {
          sweptPotential.set(columnPotential);
          const sweepsMade = iterations;
          const pathError = followPath(problem, stages);
          if (pathError <= marginalError) return solution(pathError, null);
          columnPotential.set(sweptPotential);
          return solution(marginalError, sweepsMade);
        }
        marginalError = sweepOn(marginalError, true);
      }
      return solution(marginalError, iterations);
    },
  };
}
