import fc from "fast-check";
import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import {
  createNewton,
  type NewtonOptions,
  type SmoothFunction,
} from "../../../../src/core/transport/optimise/newton.ts";

const unbounded: NewtonOptions = {
  maxIterations: 200,
  tolerance: 1e-9,
  radius: 100,
  lowerBound: Number.NEGATIVE_INFINITY,
};

/** Σ_i f(x_i) from a function of one variable with its first two derivatives. */
function separable(derivatives: (x: number, i: number) => [value: number, slope: number, curvature: number]) {
  const f: SmoothFunction = {
    evaluate(x, gradient) {
      let sum = 0;
      x.forEach((at, i) => {
        const [value, slope] = derivatives(at, i);
        sum += value;
        gradient[i] = slope;
      });
      return sum;
    },
    hessian(x, out) {
      out.fill(0);
      x.forEach((at, i) => {
        out[i * x.length + i] = derivatives(at, i)[2];
      });
    },
  };
  return f;
}

/** log Σ_j exp(a_j·x) of random a_j plus a weak bowl: smooth, convex, with a dense Hessian. */
function logSumExp(seed: string, n: number): SmoothFunction {
  const generator = seedrandom(seed);
  const rows = Array.from({ length: 3 * n }, () => Array.from({ length: n }, () => 4 * generator() - 2));
  const weightsAt = (x: Float64Array) => {
    const exponents = rows.map((row) => row.reduce((sum, a, i) => sum + a * x[i], 0));
    const largest = Math.max(...exponents);
    const weights = exponents.map((exponent) => Math.exp(exponent - largest));
    const total = weights.reduce((a, b) => a + b);
    return { value: largest + Math.log(total), weights: weights.map((weight) => weight / total) };
  };
  const mean = (weights: readonly number[], i: number) => rows.reduce((sum, row, j) => sum + weights[j] * row[i], 0);
  return {
    evaluate(x, gradient) {
      const { value, weights } = weightsAt(x);
      for (let i = 0; i < n; i++) gradient[i] = mean(weights, i) + 0.01 * x[i];
      return value + 0.005 * x.reduce((sum, at) => sum + at * at, 0);
    },
    hessian(x, out) {
      const { weights } = weightsAt(x);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          const product = rows.reduce((sum, row, k) => sum + weights[k] * row[i] * row[j], 0);
          out[i * n + j] = product - mean(weights, i) * mean(weights, j) + (i === j ? 0.01 : 0);
        }
      }
    },
  };
}

/** The gradient's norm after each number of steps. */
function normsOf(f: SmoothFunction, start: readonly number[], steps: number, options: Partial<NewtonOptions> = {}) {
  return Array.from({ length: steps + 1 }, (_, maxIterations) => {
    const x = Float64Array.from(start);
    return createNewton(start.length).minimize(f, x, { ...unbounded, tolerance: 0, ...options, maxIterations })
      .gradientNorm;
  });
}

describe("createNewton", () => {
  it("solves a quadratic to its closed form in a few steps", () => {
    const x = new Float64Array(20);
    const weight = (i: number) => 10 ** (i / 5);
    const report = createNewton(20).minimize(
      separable((at, i) => [(weight(i) * at * at) / 2 - at, weight(i) * at - 1, weight(i)]),
      x,
      { ...unbounded, radius: 1e6 },
    );
    expect(report.converged).toBe(true);
    expect(report.iterations).toBeLessThan(6);
    // A gradient of 1e-9 over the smallest weight 1.
    x.forEach((value, i) => {
      expect(Math.abs(value - 1 / weight(i))).toBeLessThan(1e-9);
    });
  });

  it("converges quadratically: each step about squares the gradient's norm", () => {
    // f = log cosh x, f' = tanh x, f'' = 1 − tanh² x, started where Newton's own steps converge.
    const norms = normsOf(
      separable((x) => [Math.log(Math.cosh(x)), Math.tanh(x), 1 - Math.tanh(x) ** 2]),
      [0.9],
      5,
      { radius: 1000 },
    );
    for (let i = 1; i < norms.length; i++) {
      // The damping of about |g|/1000 shortens a step by that part of itself over f'' > 0.4, which leaves a part of g².
      expect(norms[i]).toBeLessThan(1.01 * norms[i - 1] ** 2 + 1e-15);
    }
    expect(norms.at(-1)).toBeLessThan(1e-15);
  });

  it("finds the minimum of smooth convex functions from anywhere", () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom(0, 1, 30),
        fc.constantFrom(1, 1000),
        (seed, n, distance, radius) => {
          const f = logSumExp(`anywhere ${seed}`, n);
          const x = Float64Array.from({ length: n }, (_, i) => distance * Math.sin(seed + i));
          const report = createNewton(n).minimize(f, x, { ...unbounded, radius });
          expect(report.converged).toBe(true);
          expect(report.iterations).toBeLessThan(100);
          const gradient = new Float64Array(n);
          expect(f.evaluate(x, gradient)).toBe(report.value);
          // The sum of the components in the order in which the report adds them.
          expect(gradient.reduce((sum, g) => sum + Math.abs(g), 0)).toBe(report.gradientNorm);
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  it("never raises the value by more than rounding", () => {
    const f = logSumExp("descends", 5);
    const values = Array.from({ length: 12 }, (_, maxIterations) => {
      const x = Float64Array.of(20, -30, 10, 5, -20);
      return createNewton(5).minimize(f, x, { ...unbounded, tolerance: 0, maxIterations }).value;
    });
    for (let i = 1; i < values.length; i++) expect(values[i]).toBeLessThan(values[i - 1] + 1e-13);
    expect(values[0] - values.at(-1)!).toBeGreaterThan(1);
  });

  it("reaches gradients whose decrease in value drowns in the value's rounding", () => {
    // log cosh, of which Newton steps overshoot the minimum, plus 1e8 and, in place of the rounding of a long sum, the
    // worst that it could do: a bump with its peak, of 7e-7, at the minimum.
    const bump = (x: number) => -2e-8 * Math.log(Math.abs(x) + 1e-15);
    const f = separable((x, i) => {
      const slope = Math.tanh(x - i);
      return [1e8 + Math.log(Math.cosh(x - i)) + bump(x - i), slope, 1 - slope ** 2];
    });
    for (let start = -0.9; start < 1; start += 0.1) {
      const x = Float64Array.from({ length: 3 }, (_, i) => i + start);
      const report = createNewton(3).minimize(f, x, { ...unbounded, radius: 1e9, tolerance: 1e-12 });
      expect(report.converged).toBe(true);
      expect(report.iterations).toBeLessThan(12);
    }
  });

  it("stays above the bound, and is optimal there", () => {
    // The minimum of (x − c)² above 0 is max(0, c).
    const centre = [-2, 3, -0.5, 1, 0];
    const f = separable((x, i) => [(x - centre[i]) ** 2, 2 * (x - centre[i]), 2]);
    for (const start of [0, 5]) {
      const x = new Float64Array(5).fill(start);
      const report = createNewton(5).minimize(f, x, { ...unbounded, lowerBound: 0 });
      expect(report.converged).toBe(true);
      x.forEach((value, i) => {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(Math.abs(value - Math.max(0, centre[i]))).toBeLessThan(1e-9);
      });
    }
  });

  it("leaves the bound again where the gradient leads away from it", () => {
    // The minimum of x²/2 + y²/2 + 0.9·x·y − 2·x above 0 has y = 0; started at x = 0, where y's derivative is 0.
    const f: SmoothFunction = {
      evaluate(x, gradient) {
        gradient[0] = x[0] + 0.9 * x[1] - 2;
        gradient[1] = x[1] + 0.9 * x[0];
        return (x[0] ** 2 + x[1] ** 2) / 2 + 0.9 * x[0] * x[1] - 2 * x[0];
      },
      hessian: (_, out) => out.set([1, 0.9, 0.9, 1]),
    };
    const x = Float64Array.of(0, 4);
    expect(createNewton(2).minimize(f, x, { ...unbounded, lowerBound: 0 }).converged).toBe(true);
    expect(x[0]).toBeCloseTo(2, 8);
    expect(x[1]).toBe(0);
  });

  it("steps no further than the radius where the function is straight", () => {
    // √(1 + x²) is straight far out; its curvature at 1000 is 1e-9.
    const f = separable((x) => [Math.hypot(1, x), x / Math.hypot(1, x), 1 / Math.hypot(1, x) ** 3]);
    const x = Float64Array.of(1000);
    createNewton(1).minimize(f, x, { ...unbounded, radius: 10, maxIterations: 1 });
    expect(x[0]).toBeGreaterThan(985);
    expect(x[0]).toBeLessThan(995);
    expect(createNewton(1).minimize(f, x, { ...unbounded, radius: 10 }).converged).toBe(true);
    expect(Math.abs(x[0])).toBeLessThan(1e-9);
  });

  it("says that it has not converged where no step descends, at the point it leaves behind", () => {
    // |x − 3| at its kink, where the gradient of the one side leads into the other.
    const f: SmoothFunction = {
      evaluate(x, gradient) {
        gradient[0] = x[0] <= 3 ? -1 : 1;
        return Math.abs(x[0] - 3);
      },
      hessian: (_, out) => out.fill(1),
    };
    const x = Float64Array.of(3);
    const seen: number[] = [];
    const evaluate = (at: Float64Array, gradient: Float64Array) => {
      seen.push(at[0]);
      return f.evaluate(at, gradient);
    };
    const report = createNewton(1).minimize({ ...f, evaluate }, x, unbounded);
    expect(report).toMatchObject({ converged: false, iterations: 0, value: 0 });
    expect(x[0]).toBe(3);
    expect(seen.at(-1)).toBe(3);
    expect(report.evaluations).toBe(seen.length);
  });

  it("takes no more steps than allowed, and none from the minimum", () => {
    const f = separable((x) => [x ** 4, 4 * x ** 3, 12 * x * x]);
    const x = Float64Array.of(8, -5);
    expect(createNewton(2).minimize(f, x, { ...unbounded, maxIterations: 3 })).toMatchObject({
      iterations: 3,
      converged: false,
    });
    const settled = createNewton(2).minimize(f, new Float64Array(2), unbounded);
    expect(settled).toMatchObject({ iterations: 0, evaluations: 1, converged: true });
  });
});
