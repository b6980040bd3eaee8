import { describe, expect, it } from "vitest";
import { createLbfgs, type DifferentiableFunction } from "../../../../src/core/transport/optimise/lbfgs.ts";

const rosenbrock: DifferentiableFunction = (x, gradient) => {
  const valley = x[1] - x[0] * x[0];
  gradient[0] = -400 * x[0] * valley - 2 * (1 - x[0]);
  gradient[1] = 200 * valley;
  return 100 * valley * valley + (1 - x[0]) ** 2;
};
const ones = (n: number) => new Float64Array(n).fill(1);

describe("createLbfgs", () => {
  it("finds the minimum of Rosenbrock's valley at (1, 1) from (−1.2, 1)", () => {
    const x = Float64Array.of(-1.2, 1);
    const report = createLbfgs(2).minimize(rosenbrock, x, ones(2), { maxIterations: 100, tolerance: 1e-9 });
    expect(report.converged).toBe(true);
    expect(report.iterations).toBeLessThan(60);
    // The Hessian's smallest eigenvalue is 0.4: a gradient of 1e-9 is within 2.5e-9 of the minimum.
    expect(Math.abs(x[0] - 1)).toBeLessThan(1e-8);
    expect(Math.abs(x[1] - 1)).toBeLessThan(1e-8);
  });

  it("solves a quadratic with condition number 1e4 to the closed form", () => {
    const n = 50;
    const weight = Array.from({ length: n }, (_, i) => 10 ** ((4 * i) / (n - 1)));
    const x = new Float64Array(n);
    const report = createLbfgs(n).minimize(
      (at, gradient) => {
        let value = 0;
        for (let i = 0; i < n; i++) {
          gradient[i] = weight[i] * at[i] - 1;
          value += (weight[i] * at[i] * at[i]) / 2 - at[i];
        }
        return value;
      },
      x,
      ones(n),
      { maxIterations: 2000, tolerance: 1e-8 },
    );
    expect(report.converged).toBe(true);
    // A gradient of 1e-8 over the smallest weight 1.
    x.forEach((value, i) => {
      expect(Math.abs(value - 1 / weight[i])).toBeLessThan(1e-8);
    });
  });

  it("measures each partial derivative against its own scale", () => {
    const x = Float64Array.of(0, 0);
    const scale = Float64Array.of(1, 1e6);
    // At 0 the derivatives are 0 and 1: within the tolerance of 1e-5 only when divided by the scale.
    const f: DifferentiableFunction = (at, gradient) => {
      gradient[0] = at[0];
      gradient[1] = at[1] + 1;
      return (at[0] ** 2 + at[1] ** 2) / 2 + at[1];
    };
    const options = { maxIterations: 10, tolerance: 1e-5 };
    expect(createLbfgs(2).minimize(f, x, scale, options)).toMatchObject({ converged: true, iterations: 0 });
    expect(createLbfgs(2).minimize(f, x, ones(2), options).iterations).toBeGreaterThan(0);
  });

  it("descends |x| + x²/10 to its kink, where it stops without claiming to have converged", () => {
    const x = Float64Array.of(3);
    const report = createLbfgs(1).minimize(
      (at, gradient) => {
        gradient[0] = Math.sign(at[0] || 1) + at[0] / 5;
        return Math.abs(at[0]) + at[0] ** 2 / 10;
      },
      x,
      ones(1),
      { maxIterations: 200, tolerance: 1e-9 },
    );
    expect(report.converged).toBe(false);
    expect(report.value).toBeLessThan(1e-6);
  });

  it("gives up where a run of steps gains too little, but only while the gradient is large", () => {
    // Two kinks that no step lands on exactly: the gradient stays at about 1.
    const kink: DifferentiableFunction = (at, gradient) => {
      gradient[0] = Math.sign(at[0] - Math.SQRT2 * at[1]) + at[0] / 5;
      gradient[1] = -Math.SQRT2 * Math.sign(at[0] - Math.SQRT2 * at[1]) + (at[1] - 1) / 5;
      return 1 + Math.abs(at[0] - Math.SQRT2 * at[1]) + at[0] ** 2 / 10 + (at[1] - 1) ** 2 / 10;
    };
    const options = { maxIterations: 200, tolerance: 1e-12 };
    const run = (gradient: number, isHere = true) =>
      createLbfgs(2).minimize(kink, Float64Array.of(3, -2), ones(2), {
        ...options,
        stalls: [{ steps: 2, decrease: 0.01, gradient, isHere: () => isHere }],
      });
    const patient = createLbfgs(2).minimize(kink, Float64Array.of(3, -2), ones(2), options);
    expect(run(0.5).iterations).toBeLessThan(patient.iterations);
    expect(run(0.5).converged).toBe(false);
    expect(run(100)).toEqual(patient);
    expect(run(0.5, false)).toEqual(patient);
  });

  it("takes no more steps than allowed, and is the same when reused for a smaller problem", () => {
    const lbfgs = createLbfgs(5);
    const bowl: DifferentiableFunction = (at, gradient) => {
      at.forEach((value, i) => {
        gradient[i] = 2 * (value - i);
      });
      return at.reduce((sum, value, i) => sum + (value - i) ** 2, 0);
    };
    lbfgs.minimize(bowl, ones(5), ones(5), { maxIterations: 3, tolerance: 0 });
    const [reused, fresh] = [lbfgs, createLbfgs(2)].map((minimizer) => {
      const x = Float64Array.of(-1.2, 1);
      return { x, report: minimizer.minimize(rosenbrock, x, ones(2), { maxIterations: 7, tolerance: 1e-9 }) };
    });
    expect(reused).toEqual(fresh);
    expect(fresh.report.iterations).toBe(7);
  });
});
