import { createConjugateGradient } from "./conjugate-gradient.ts";

/** A convex function with a continuous gradient. */
export interface SmoothFunction {
  /** Value at `x`; writes the gradient at `x` into `gradient`. Neither array may be kept. */
  evaluate(x: Float64Array, gradient: Float64Array): number;
  /**
   * Writes the Hessian `[n × n]`, symmetric and positive semi-definite, or an approximation of it, at `x`, the last evaluated
   * point.
   */
  hessian(x: Float64Array, out: Float64Array): void;
}

export interface NewtonOptions {
  /** Largest number of steps. */
  readonly maxIterations: number;
  /** Stop when the L1 norm of the gradient, without its components that push against the bound, is at most this. */
  readonly tolerance: number;
  /** Longest step in a coordinate in which the function is locally linear. */
  readonly radius: number;
  /** Every coordinate stays at or above this; −∞ for none. */
  readonly lowerBound: number;
}

export interface NewtonReport {
  readonly value: number;
  /** L1 norm of the gradient, without the components that push against the bound. */
  readonly gradientNorm: number;
  readonly iterations: number;
  /** Calls of `evaluate`. */
  readonly evaluations: number;
  /** Whether the tolerance was met. False if no step descends any more, as at the limits of float64. */
  readonly converged: boolean;
}

/** Minimises functions of `dimension` variables with buffers allocated once. */
export interface Newton {
  /** Descends from `x`, and writes the point found into it. That point is also the last evaluated one. */
  minimize(f: SmoothFunction, x: Float64Array, options: NewtonOptions): NewtonReport;
}

const armijo = 1e-4;
const maxHalvings = 40;
// If a step's decrease is within rounding, the function is nearly quadratic, and a shorter step would fail too.
const maxHalvingsInRounding = 3;
const maxConjugateSteps = 200;
const sharedDamping = 0.1;

/**
 * Newton's method with a projected line search (Bertsekas 1982, "Projected Newton methods", SIAM J. Control Optim. 20)
 * and truncated conjugate gradients (Dembo and Steihaug 1983):
 *
 *     free                      the coordinates above the bound, and those that −g moves away from it
 *     (H + D)·d = −g            on the free coordinates, by conjugate gradients; D_i = (|g_i| + 0.1·mean |g|) / radius
 *     x = max(lowerBound, x + 2^−i·d)      for the first i = 0, 1, … with sufficient decrease
 *
 * D keeps steps short in directions without curvature, and vanishes with the gradient. Its second term holds back
 * coordinates with little curvature and little gradient, for which |g_i| alone would allow a step of the whole radius, until
 * the others have converged.
 *
 * Sufficient decrease is f(y) ≤ f(x) + 1e-4·∇f(x)ᵀ(y − x) (Armijo). Close to the minimum the decrease is lost in rounding,
 * and gradients, which keep their precision, decide: a convex f has decreased by at least −∇f(y)ᵀ(y − x), and a quadratic
 * one by half of −(∇f(x) + ∇f(y))ᵀ(y − x), which counts if the values differ by rounding only (Hager and Zhang 2005, the
 * approximate Wolfe conditions).
 */
export function createNewton(dimension: number): Newton {
  const hessian = new Float64Array(dimension * dimension);
  const diagonal = new Float64Array(dimension);
  const damping = new Float64Array(dimension);
  const descent = new Float64Array(dimension);
  const direction = new Float64Array(dimension);
  const gradient = new Float64Array(dimension);
  const trial = new Float64Array(dimension);
  const trialGradient = new Float64Array(dimension);
  const isFree = new Uint8Array(dimension);
  const linear = createConjugateGradient(dimension);

  function product(vector: Float64Array, out: Float64Array): void {
    for (let i = 0; i < dimension; i++) {
      if (isFree[i] === 0) {
        out[i] = 0;
        continue;
      }
      const row = i * dimension;
      let sum = damping[i] * vector[i];
      for (let j = 0; j < dimension; j++) sum += hessian[row + j] * vector[j];
      out[i] = sum;
    }
  }

  /** Marks the coordinates that may move; returns the L1 norm of their gradient. */
  function chooseFree(x: Float64Array, lowerBound: number): number {
    let norm = 0;
    for (let i = 0; i < dimension; i++) {
      isFree[i] = x[i] <= lowerBound && gradient[i] >= 0 ? 0 : 1;
      if (isFree[i] === 1) norm += Math.abs(gradient[i]);
    }
    return norm;
  }

  function findDirection(radius: number, norm: number): void {
    const shared = (sharedDamping * norm) / dimension;
    for (let i = 0; i < dimension; i++) {
      damping[i] = (Math.abs(gradient[i]) + shared) / radius + Number.MIN_VALUE;
      diagonal[i] = isFree[i] === 1 ? hessian[i * dimension + i] + damping[i] : 1;
      descent[i] = isFree[i] === 1 ? -gradient[i] : 0;
    }
    linear.solve(product, diagonal, descent, direction, Math.min(0.1, Math.sqrt(norm)), maxConjugateSteps);
  }

  /** `slopes`·(trial − x) */
  function alongStep(slopes: Float64Array, x: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < dimension; i++) sum += slopes[i] * (trial[i] - x[i]);
    return sum;
  }

  return {
    minimize(f, x, { maxIterations, tolerance, radius, lowerBound }) {
      let value = f.evaluate(x, gradient);
      let gradientNorm = chooseFree(x, lowerBound);
      let evaluations = 1;
      let iterations = 0;

      /** Leaves the accepted point in `trial` and returns its value; undefined if there is none. */
      function searchLine(): number | undefined {
        const rounding = 64 * Number.EPSILON * Math.abs(value);
        let step = 1;
        for (let halving = 0; halving < maxHalvings; halving++, step /= 2) {
          for (let i = 0; i < dimension; i++) trial[i] = Math.max(lowerBound, x[i] + step * direction[i]);
          const slope = alongStep(gradient, x);
          if (halving > maxHalvingsInRounding && -slope <= rounding) return undefined;
          const trialValue = f.evaluate(trial, trialGradient);
          evaluations += 1;
          const trialSlope = alongStep(trialGradient, x);
          const isLower =
            trialValue <= value + armijo * slope ||
            trialSlope <= armijo * slope ||
            (trialValue <= value + rounding && trialSlope <= (2 * armijo - 1) * slope);
          if (slope < 0 && isLower) return trialValue;
        }
        return undefined;
      }

      while (gradientNorm > tolerance && iterations < maxIterations) {
        f.hessian(x, hessian);
        findDirection(radius, gradientNorm);
        const trialValue = searchLine();
        if (trialValue === undefined) {
          value = f.evaluate(x, gradient);
          evaluations += 1;
          break;
        }
        x.set(trial);
        value = trialValue;
        gradient.set(trialGradient);
        gradientNorm = chooseFree(x, lowerBound);
        iterations += 1;
      }
      return { value, gradientNorm, iterations, evaluations, converged: gradientNorm <= tolerance };
    },
  };
}
