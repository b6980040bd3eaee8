/** Value at `x`; writes the (sub)gradient at `x` into `gradient`. Neither array may be kept. */
export type DifferentiableFunction = (x: Float64Array, gradient: Float64Array) => number;

export interface LbfgsOptions {
  readonly maxIterations: number;
  /** Stop when max_i |gradient_i| / gradientScale_i is at most this. */
  readonly tolerance: number;
}

export interface LbfgsReport {
  /** Value at the point that was found. */
  readonly value: number;
  /** Steps taken, at most `maxIterations`. */
  readonly iterations: number;
  /** Calls of the function. */
  readonly evaluations: number;
  /** Whether the tolerance was met. False also where no step descends any more, as at a kink. */
  readonly converged: boolean;
}

/** Minimises functions of up to `dimension` variables with buffers allocated once. */
export interface Lbfgs {
  /**
   * Descends from `x`, which is overwritten by the point found. The dimension is `x.length`. `gradientScale`, of the
   * same length and positive, is what each partial derivative is measured against by the stopping test.
   */
  minimize(f: DifferentiableFunction, x: Float64Array, gradientScale: Float64Array, options: LbfgsOptions): LbfgsReport;
}

const memory = 10;
const armijo = 1e-4;
const curvature = 0.9;
const maxTrials = 40;

function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[aStart + i] * b[bStart + i];
  return sum;
}

/**
 * Limited-memory BFGS (Liu & Nocedal 1989, algorithm 2.1; two-loop recursion of Nocedal & Wright 2006, algorithm 7.4)
 * with the 10 latest pairs and the initial Hessian sᵀy / yᵀy.
 *
 * The line search finds the weak Wolfe conditions, f(x+td) ≤ f(x) + 1e-4·t·∇fᵀd and ∇f(x+td)ᵀd ≥ 0.9·∇fᵀd, by bisection
 * and doubling (Lewis & Overton 2013, algorithm 2.6). It needs no smoothness, which the dual of a
 * sparsity-constrained plan lacks, and every step it accepts has sᵀy > 0. When no step is found the pairs are forgotten
 * and the gradient's direction is tried once; when that fails too the point is as low as this method gets.
 *
 * Own code because no library fits: on npm `optimization-js` has L-BFGS without a line search on freshly allocated plain
 * arrays, `fmin` has only conjugate gradients and Nelder-Mead, and `numeric` only the dense n × n form.
 */
export function createLbfgs(dimension: number): Lbfgs {
  const steps = new Float64Array(memory * dimension);
  const gradientChanges = new Float64Array(memory * dimension);
  const inverseCurvature = new Float64Array(memory);
  const coefficient = new Float64Array(memory);
  const direction = new Float64Array(dimension);
  const gradient = new Float64Array(dimension);
  const trial = new Float64Array(dimension);
  const trialGradient = new Float64Array(dimension);

  /** direction = −H·gradient, from the pairs [newest − stored, newest) of the ring. */
  function writeDirection(n: number, newest: number, stored: number): void {
    for (let i = 0; i < n; i++) direction[i] = -gradient[i];
    for (let age = 1; age <= stored; age++) {
      const slot = (newest - age) % memory;
      const row = slot * dimension;
      const weight = inverseCurvature[slot] * dot(steps, row, direction, 0, n);
      coefficient[slot] = weight;
      for (let i = 0; i < n; i++) direction[i] -= weight * gradientChanges[row + i];
    }
    if (stored > 0) {
      const row = ((newest - 1) % memory) * dimension;
      const scale = dot(steps, row, gradientChanges, row, n) / dot(gradientChanges, row, gradientChanges, row, n);
      for (let i = 0; i < n; i++) direction[i] *= scale;
    }
    for (let age = stored; age >= 1; age--) {
      const slot = (newest - age) % memory;
      const row = slot * dimension;
      const weight = coefficient[slot] - inverseCurvature[slot] * dot(gradientChanges, row, direction, 0, n);
      for (let i = 0; i < n; i++) direction[i] += weight * steps[row + i];
    }
  }

  return {
    minimize(f, x, gradientScale, { maxIterations, tolerance }) {
      const n = x.length;
      const trialPoint = trial.subarray(0, n);
      const gradientAtTrial = trialGradient.subarray(0, n);
      let value = f(x, gradient.subarray(0, n));
      let evaluations = 1;
      let iterations = 0;
      let newest = 0;
      let stored = 0;

      function meetsTolerance(): boolean {
        for (let i = 0; i < n; i++) if (!(Math.abs(gradient[i]) <= tolerance * gradientScale[i])) return false;
        return true;
      }

      /** Leaves the accepted point in `trial` and returns its value, or undefined when there is none. */
      function searchLine(slope: number, firstStep: number): number | undefined {
        // Close to the minimum the decrease drowns in the rounding of the value itself.
        const rounding = 8 * Number.EPSILON * Math.abs(value);
        let tooShort = 0;
        let tooLong = Number.POSITIVE_INFINITY;
        let length = firstStep;
        for (let attempt = 0; attempt < maxTrials; attempt++) {
          for (let i = 0; i < n; i++) trial[i] = x[i] + length * direction[i];
          const trialValue = f(trialPoint, gradientAtTrial);
          evaluations += 1;
          if (!(trialValue <= value + armijo * length * slope + rounding)) tooLong = length;
          else if (dot(trialGradient, 0, direction, 0, n) < curvature * slope) tooShort = length;
          else return trialValue;
          length = tooLong === Number.POSITIVE_INFINITY ? 2 * tooShort : (tooShort + tooLong) / 2;
        }
        return undefined;
      }

      let converged = meetsTolerance();
      while (!converged && iterations < maxIterations) {
        writeDirection(n, newest, stored);
        const slope = dot(gradient, 0, direction, 0, n);
        const firstStep = stored > 0 ? 1 : 1 / Math.sqrt(dot(gradient, 0, gradient, 0, n));
        const trialValue = slope < 0 ? searchLine(slope, firstStep) : undefined;
        if (trialValue === undefined) {
          if (stored === 0) break;
          stored = 0;
          continue;
        }
        const slot = newest % memory;
        const row = slot * dimension;
        for (let i = 0; i < n; i++) {
          steps[row + i] = trial[i] - x[i];
          gradientChanges[row + i] = trialGradient[i] - gradient[i];
          x[i] = trial[i];
          gradient[i] = trialGradient[i];
        }
        value = trialValue;
        iterations += 1;
        const stepCurvature = dot(steps, row, gradientChanges, row, n);
        if (stepCurvature > 0) {
          inverseCurvature[slot] = 1 / stepCurvature;
          newest += 1;
          stored = Math.min(stored + 1, memory);
        }
        converged = meetsTolerance();
      }
      return { value, iterations, evaluations, converged };
    },
  };
}
