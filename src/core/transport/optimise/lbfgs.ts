/** Value at `x`; writes the (sub)gradient at `x` into `gradient`. Neither array may be kept. */
export type DifferentiableFunction = (x: Float64Array, gradient: Float64Array) => number;

export interface LbfgsOptions {
  readonly maxIterations: number;
  /** Stop when max_i |gradient_i| / gradientScale_i is at most this. */
  readonly tolerance: number;
  /** When to give up at a kink, if any of these applies; default: never. */
  readonly stalls?: readonly Stall[];
}

/** Stop when all of these hold, as they do at a kink, where the gradient jumps instead of vanishing. */
export interface Stall {
  /** The last `steps` steps together lowered the value by at most `decrease`·|value|. */
  readonly steps: number;
  readonly decrease: number;
  /** Some |gradient_i| / gradientScale_i is still more than this. */
  readonly gradient: number;
  /** Whether this may stop the search at the current point; default: anywhere. */
  isHere?(): boolean;
}

export interface LbfgsReport {
  /** Value at the point that was found. */
  readonly value: number;
  /** Steps taken, at most `maxIterations`. */
  readonly iterations: number;
  /** Calls of the function. */
  readonly evaluations: number;
  /** Whether the tolerance was met. False if no step descends any more, as at a kink. */
  readonly converged: boolean;
}

/** Minimises functions of up to `dimension` variables with buffers allocated once. */
export interface Lbfgs {
  /**
   * Descends from `x`, and writes the point found into it. The dimension is `x.length`. The stopping test divides each
   * partial derivative by its entry of `gradientScale`, of the same length and positive.
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
 * target = scale·target + weight·a for the first n elements; returns target·b. One pass for both, with two separate sums, so
 * that an addition need not wait for the previous one.
 */
function combineAndDot(
  target: Float64Array,
  scale: number,
  weight: number,
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  bStart: number,
  n: number,
): number {
  let even = 0;
  let odd = 0;
  let i = 0;
  for (; i + 1 < n; i += 2) {
    const first = scale * target[i] + weight * a[aStart + i];
    const second = scale * target[i + 1] + weight * a[aStart + i + 1];
    target[i] = first;
    target[i + 1] = second;
    even += first * b[bStart + i];
    odd += second * b[bStart + i + 1];
  }
  if (i < n) {
    target[i] = scale * target[i] + weight * a[aStart + i];
    even += target[i] * b[bStart + i];
  }
  return even + odd;
}

/**
 * Limited-memory BFGS (Liu & Nocedal 1989, algorithm 2.1; two-loop recursion of Nocedal & Wright 2006, algorithm 7.4)
 * with the 10 latest pairs and the initial Hessian sᵀy / yᵀy.
 *
 * The line search finds the weak Wolfe conditions, f(x+td) ≤ f(x) + 1e-4·t·∇fᵀd and ∇f(x+td)ᵀd ≥ 0.9·∇fᵀd, by bisection
 * and doubling (Lewis & Overton 2013, algorithm 2.6). It needs no smoothness, which the dual of a
 * sparsity-constrained plan lacks, and every step it accepts has sᵀy > 0. If no step is found, the pairs are dropped and
 * the direction of the gradient is tried once; if that fails too, the search ends.
 *
 * Own code because no library fits: on npm `optimization-js` has L-BFGS without a line search on freshly allocated plain
 * arrays, `fmin` has only conjugate gradients and Nelder-Mead, and `numeric` only the dense n × n form.
 */
export function createLbfgs(dimension: number): Lbfgs {
  const steps = new Float64Array(memory * dimension);
  const gradientChanges = new Float64Array(memory * dimension);
  const inverseCurvature = new Float64Array(memory);
  const initialHessian = new Float64Array(memory);
  const coefficient = new Float64Array(memory);
  const direction = new Float64Array(dimension);
  const gradient = new Float64Array(dimension);
  const trial = new Float64Array(dimension);
  const trialGradient = new Float64Array(dimension);

  /** direction = −H·gradient, from the pairs [newest − stored, newest) of the ring; returns gradientᵀ·direction. */
  function writeDirection(n: number, newest: number, stored: number): number {
    if (stored === 0) return combineAndDot(direction, 0, -1, gradient, 0, gradient, 0, n);
    const scale = initialHessian[(newest - 1) % memory];
    const slotOf = (age: number) => (newest - age) % memory;
    let projection = combineAndDot(direction, 0, -1, gradient, 0, steps, slotOf(1) * dimension, n);
    for (let age = 1; age <= stored; age++) {
      const slot = slotOf(age);
      const row = slot * dimension;
      const weight = inverseCurvature[slot] * projection;
      coefficient[slot] = weight;
      projection =
        age < stored
          ? combineAndDot(direction, 1, -weight, gradientChanges, row, steps, slotOf(age + 1) * dimension, n)
          : combineAndDot(direction, scale, -scale * weight, gradientChanges, row, gradientChanges, row, n);
    }
    for (let age = stored; age >= 1; age--) {
      const slot = slotOf(age);
      const weight = coefficient[slot] - inverseCurvature[slot] * projection;
      projection =
        age > 1
          ? combineAndDot(
              direction,
              1,
              weight,
              steps,
              slot * dimension,
              gradientChanges,
              slotOf(age - 1) * dimension,
              n,
            )
          : combineAndDot(direction, 1, weight, steps, slot * dimension, gradient, 0, n);
    }
    return projection;
  }

  function writeTrial(x: Float64Array, length: number, n: number): void {
    for (let i = 0; i < n; i++) trial[i] = x[i] + length * direction[i];
  }

  /** Moves `x` and the gradient to the trial point; stores the changes in the ring at `row`. */
  function acceptTrial(x: Float64Array, row: number, n: number): void {
    for (let i = 0; i < n; i++) {
      steps[row + i] = trial[i] - x[i];
      gradientChanges[row + i] = trialGradient[i] - gradient[i];
      x[i] = trial[i];
      gradient[i] = trialGradient[i];
    }
  }

  return {
    minimize(f, x, gradientScale, { maxIterations, tolerance, stalls = [] }) {
      const n = x.length;
      const trialPoint = trial.subarray(0, n);
      const gradientAtTrial = trialGradient.subarray(0, n);
      let value = f(x, gradient.subarray(0, n));
      let evaluations = 1;
      let iterations = 0;
      let newest = 0;
      let stored = 0;

      const milestones = stalls.map(() => value);

      function isWithin(bound: number): boolean {
        for (let i = 0; i < n; i++) if (!(Math.abs(gradient[i]) <= bound * gradientScale[i])) return false;
        return true;
      }

      function isStalled(): boolean {
        return stalls.some(({ steps, decrease, gradient: least, isHere = () => true }, index) => {
          if (iterations % steps !== 0) return false;
          const decreased = milestones[index] - value;
          milestones[index] = value;
          return decreased <= decrease * Math.abs(value) && !isWithin(least) && isHere();
        });
      }

      /** Leaves the accepted point in `trial` and returns its value; undefined if there is none. */
      function searchLine(slope: number, firstStep: number): number | undefined {
        // Close to the minimum the decrease is smaller than the rounding of the value.
        const rounding = 8 * Number.EPSILON * Math.abs(value);
        let tooShort = 0;
        let tooLong = Number.POSITIVE_INFINITY;
        let length = firstStep;
        for (let attempt = 0; attempt < maxTrials; attempt++) {
          writeTrial(x, length, n);
          const trialValue = f(trialPoint, gradientAtTrial);
          evaluations += 1;
          if (!(trialValue <= value + armijo * length * slope + rounding)) tooLong = length;
          else if (dot(trialGradient, 0, direction, 0, n) < curvature * slope) tooShort = length;
          else return trialValue;
          length = tooLong === Number.POSITIVE_INFINITY ? 2 * tooShort : (tooShort + tooLong) / 2;
        }
        return undefined;
      }

      let converged = isWithin(tolerance);
      while (!converged && iterations < maxIterations) {
        const slope = writeDirection(n, newest, stored);
        const firstStep = stored > 0 ? 1 : 1 / Math.sqrt(dot(gradient, 0, gradient, 0, n));
        const trialValue = slope < 0 ? searchLine(slope, firstStep) : undefined;
        if (trialValue === undefined) {
          if (stored === 0) break;
          stored = 0;
          continue;
        }
        const slot = newest % memory;
        const row = slot * dimension;
        acceptTrial(x, row, n);
        value = trialValue;
        iterations += 1;
        const stepCurvature = dot(steps, row, gradientChanges, row, n);
        if (stepCurvature > 0) {
          inverseCurvature[slot] = 1 / stepCurvature;
          initialHessian[slot] = stepCurvature / dot(gradientChanges, row, gradientChanges, row, n);
          newest += 1;
          stored = Math.min(stored + 1, memory);
        }
        converged = isWithin(tolerance);
        if (!converged && isStalled()) break;
      }
      return { value, iterations, evaluations, converged };
    },
  };
}
