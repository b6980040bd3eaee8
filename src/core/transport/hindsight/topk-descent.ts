import { createNewton } from "../optimise/newton.ts";
import type { TopKDual, TopKProblem } from "./topk-dual.ts";

export interface DescentOptions {
  /** Of the smoothing, in units of the scores. */
  readonly width: number;
  /** Stop when the L1 norm of the gradient, without its components that push against the bound, is at most this. */
  readonly tolerance: number;
  /** Approximate limit of steps. */
  readonly maxIterations: number;
  /** Every price stays at or above this; −∞ for none. */
  readonly lowerBound: number;
}

export interface DescentReport {
  readonly value: number;
  /** L1 norm of the gradient, without the components that push against the bound. */
  readonly gradientNorm: number;
  /** Passes over the tokens, for values and for Hessians. */
  readonly evaluations: number;
  readonly converged: boolean;
}

/** Steps between changes of the radius. */
const round = 6;
/** The radius in widths: initial and smallest. It grows and shrinks by these factors. */
const firstRadius = 32;
const leastRadius = 2;
const growth = 4;
const shrinkage = 4;

/**
 * Minimises smoothed top-k duals by Newton's method. Nothing local says how far a price should move if no token is near its
 * threshold. So every few steps the radius grows if all of them went their whole length, and shrinks if they had to be
 * halved more than once on average.
 */
export function createTopKDescent(dual: TopKDual, experts: number) {
  const newton = createNewton(experts);
  return {
    /** Descends from `price`, which is overwritten by the point found. */
    minimize(problem: TopKProblem, price: Float64Array, options: DescentOptions): DescentReport {
      const { width, tolerance, maxIterations, lowerBound } = options;
      let radius = firstRadius;
      let iterations = 0;
      let evaluations = 0;
      dual.pose(problem, width);
      for (;;) {
        const limits = { maxIterations: round, tolerance, lowerBound, radius: radius * width };
        const report = newton.minimize(dual, price, limits);
        const halvings = report.evaluations - 1 - report.iterations;
        iterations += report.iterations;
        evaluations += report.evaluations + report.iterations;
        const { value, gradientNorm, converged } = report;
        if (converged || report.iterations < round || iterations >= maxIterations) {
          return { value, gradientNorm, evaluations, converged };
        }
        if (halvings === 0) radius *= growth;
        else if (halvings > report.iterations) radius = Math.max(leastRadius, radius / shrinkage);
      }
    },
  };
}
