import fc from "fast-check";
import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import {
  createConjugateGradient,
  type LinearOperator,
} from "../../../../src/core/transport/optimise/conjugate-gradient.ts";

/** Multiplication by a dense matrix given in rows. */
function dense(rows: readonly (readonly number[])[]): LinearOperator {
  return (vector, out) => {
    rows.forEach((row, i) => {
      out[i] = row.reduce((sum, entry, j) => sum + entry * vector[j], 0);
    });
  };
}

const diagonalOf = (rows: readonly (readonly number[])[]) => Float64Array.from(rows, (row, i) => row[i]);

/** AᵀA + shift·I of a random A, symmetric and positive definite. */
function definiteMatrix(seed: string, n: number, shift: number): number[][] {
  const generator = seedrandom(seed);
  const a = Array.from({ length: n }, () => Array.from({ length: n }, () => 2 * generator() - 1));
  return Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (__, j) => a.reduce((sum, row) => sum + row[i] * row[j], i === j ? shift : 0)),
  );
}

/** Gaussian elimination with partial pivoting. */
function eliminate(matrix: readonly (readonly number[])[], rightSide: ArrayLike<number>): number[] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, rightSide[i]]);
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++) {
      if (Math.abs(rows[i][column]) > Math.abs(rows[pivot][column])) pivot = i;
    }
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let i = column + 1; i < n; i++) {
      const factor = rows[i][column] / rows[column][column];
      for (let j = column; j <= n; j++) rows[i][j] -= factor * rows[column][j];
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = x.reduce((sum, value, j) => sum + rows[i][j] * value, 0);
    x[i] = (rows[i][n] - known) / rows[i][i];
  }
  return x;
}

describe("createConjugateGradient", () => {
  it("solves definite systems as Gaussian elimination does", () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 12 }), (seed, n) => {
        const matrix = definiteMatrix(`definite ${seed}`, n, 1);
        const rightSide = Float64Array.from({ length: n }, (_, i) => Math.sin(seed + 3 * i));
        const x = new Float64Array(n);
        createConjugateGradient(n).solve(dense(matrix), diagonalOf(matrix), rightSide, x, 1e-12, 10 * n);
        eliminate(matrix, rightSide).forEach((value, i) => {
          // No eigenvalue is below 1: the error is at most the residual, 1e-12 of at most √12.
          expect(Math.abs(x[i] - value)).toBeLessThan(1e-11);
        });
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it("needs as many iterations as there are distinct eigenvalues, and one where the preconditioner is the inverse", () => {
    const eigenvalues = [1, 1, 10, 10, 10, 100];
    const matrix = eigenvalues.map((value, i) => eigenvalues.map((_, j) => (i === j ? value : 0)));
    const rightSide = Float64Array.of(1, 2, 3, 4, 5, 6);
    const solveWith = (diagonal: Float64Array) => {
      const x = new Float64Array(6);
      const iterations = createConjugateGradient(6).solve(dense(matrix), diagonal, rightSide, x, 1e-12, 100);
      eigenvalues.forEach((value, i) => {
        expect(x[i]).toBeCloseTo(rightSide[i] / value, 10);
      });
      return iterations;
    };
    expect(solveWith(new Float64Array(6).fill(1))).toBe(3);
    expect(solveWith(Float64Array.from(eigenvalues))).toBe(1);
  });

  it("solves the singular system of a path's Laplacian, whose right side sums to 0", () => {
    const laplacian = [
      [1, -1, 0, 0],
      [-1, 2, -1, 0],
      [0, -1, 2, -1],
      [0, 0, -1, 1],
    ];
    const x = new Float64Array(4);
    const rightSide = Float64Array.of(1, 0, 0, -1);
    createConjugateGradient(4).solve(dense(laplacian), diagonalOf(laplacian), rightSide, x, 1e-12, 100);
    // A current of 1 through three unit resistances; the potential is fixed up to a constant.
    for (let i = 0; i < 3; i++) expect(x[i] - x[i + 1]).toBeCloseTo(1, 10);
  });

  it("stops at the residual asked for, or when the iterations are used up", () => {
    const matrix = definiteMatrix("residual", 10, 0.1);
    const rightSide = new Float64Array(10).fill(1);
    const residualAfter = (tolerance: number, maxIterations: number) => {
      const x = new Float64Array(10);
      const linear = createConjugateGradient(10);
      const iterations = linear.solve(dense(matrix), diagonalOf(matrix), rightSide, x, tolerance, maxIterations);
      const product = new Float64Array(10);
      dense(matrix)(x, product);
      return { iterations, residual: Math.hypot(...product.map((value, i) => value - rightSide[i])) / Math.sqrt(10) };
    };
    const coarse = residualAfter(0.1, 100);
    const fine = residualAfter(1e-6, 100);
    expect(coarse.residual).toBeLessThanOrEqual(0.1);
    expect(fine.residual).toBeLessThanOrEqual(1.01e-6);
    expect(coarse.iterations).toBeLessThan(fine.iterations);
    expect(residualAfter(1e-6, 2)).toMatchObject({ iterations: 2 });
  });

  it("returns 0 for a right side of 0 and where there is no curvature at all", () => {
    const x = new Float64Array(2).fill(5);
    const linear = createConjugateGradient(2);
    const nothing: LinearOperator = (_, out) => out.fill(0);
    expect(linear.solve(nothing, Float64Array.of(1, 1), Float64Array.of(1, 2), x, 1e-9, 10)).toBe(0);
    expect(Array.from(x)).toEqual([0, 0]);
    const identity: LinearOperator = (vector, out) => out.set(vector);
    expect(linear.solve(identity, Float64Array.of(1, 1), Float64Array.of(0, 0), x.fill(5), 1e-9, 10)).toBe(0);
    expect(Array.from(x)).toEqual([0, 0]);
  });

  it("is the same when reused for a smaller system", () => {
    const matrix = definiteMatrix("small", 3, 1);
    const rightSide = Float64Array.of(1, -2, 3);
    const reused = createConjugateGradient(6);
    const big = definiteMatrix("big", 6, 1);
    reused.solve(dense(big), diagonalOf(big), new Float64Array(6).fill(1), new Float64Array(6), 1e-9, 50);
    const [first, second] = [reused, createConjugateGradient(3)].map((linear) => {
      const x = new Float64Array(3);
      linear.solve(dense(matrix), diagonalOf(matrix), rightSide, x, 1e-9, 50);
      return x;
    });
    expect(first).toEqual(second);
  });
});
