/** Writes `out = H·vector` for a symmetric positive semi-definite H. */
export type LinearOperator = (vector: Float64Array, out: Float64Array) => void;

/** Solves linear systems of up to `dimension` unknowns with buffers allocated once. */
export interface ConjugateGradient {
  /**
   * Solves H·x = `rightSide` from x = 0 and returns the number of iterations. Stops when ‖H·x − rightSide‖₂ is at most
   * `tolerance`·‖rightSide‖₂, after `maxIterations`, or if H has no curvature left in the search direction; `x` is then the
   * best point found. `diagonal` is the diagonal of H, positive, for Jacobi preconditioning. The dimension is `x.length`.
   */
  solve(
    product: LinearOperator,
    diagonal: Float64Array,
    rightSide: Float64Array,
    x: Float64Array,
    tolerance: number,
    maxIterations: number,
  ): number;
}

/** The preconditioned conjugate gradient method of Hestenes and Stiefel 1952; Golub and Van Loan, algorithm 11.5.1. */
export function createConjugateGradient(dimension: number): ConjugateGradient {
  const residuals = new Float64Array(dimension);
  const conditioned = new Float64Array(dimension);
  const directions = new Float64Array(dimension);
  const products = new Float64Array(dimension);
  return {
    solve(product, diagonal, rightSide, x, tolerance, maxIterations) {
      const n = x.length;
      const residual = residuals.subarray(0, n);
      const direction = directions.subarray(0, n);
      const curved = products.subarray(0, n);
      x.fill(0);
      residual.set(rightSide);
      const enough = tolerance ** 2 * dot(residual, residual);
      let preconditioned = precondition(residual, diagonal, conditioned);
      for (let i = 0; i < n; i++) direction[i] = conditioned[i];

      let iteration = 0;
      while (iteration < maxIterations && dot(residual, residual) > enough) {
        product(direction, curved);
        const curvature = dot(direction, curved);
        if (!(curvature > 0)) break;
        const step = preconditioned / curvature;
        for (let i = 0; i < n; i++) {
          x[i] += step * direction[i];
          residual[i] -= step * curved[i];
        }
        const next = precondition(residual, diagonal, conditioned);
        const turn = next / preconditioned;
        for (let i = 0; i < n; i++) direction[i] = conditioned[i] + turn * direction[i];
        preconditioned = next;
        iteration += 1;
      }
      return iteration;
    },
  };
}

/** out = residual / diagonal; returns residual·out. */
function precondition(residual: Float64Array, diagonal: Float64Array, out: Float64Array): number {
  let product = 0;
  for (let i = 0; i < residual.length; i++) {
    out[i] = residual[i] / diagonal[i];
    product += residual[i] * out[i];
  }
  return product;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
