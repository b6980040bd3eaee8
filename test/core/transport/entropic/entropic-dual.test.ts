import { describe, expect, it } from "vitest";
import { createEntropicDual } from "../../../../src/core/transport/entropic/entropic-dual.ts";
import { backends } from "../../../support/backends.ts";
import { columnError, normalised, plainSinkhorn, softmax, toMatrix } from "../../../support/plain.ts";
import { randomLogits } from "../../../support/random-logits.ts";

const [tokens, experts, epsilon] = [14, 5, 0.6];
const logits = randomLogits("dual", tokens, experts);
const rows = toMatrix(logits, tokens, experts);
const point = [0.3, -1.2, 0.8, 0, 2];

/** F by its formula. */
function plainDual(x: readonly number[]): number {
  const logSums = rows.map((row) => Math.log(row.reduce((sum, z, e) => sum + Math.exp(z / epsilon + x[e]), 0)));
  return logSums.reduce((a, b) => a + b) / tokens - x.reduce((a, b) => a + b) / experts;
}

describe.each(backends)("createEntropicDual on $backend kernels", (kernels) => {
  const columnPotential = kernels.allocateFloat64(experts);
  const dual = createEntropicDual(kernels, tokens, experts, columnPotential);
  const buffer = kernels.allocateFloat32(tokens * experts);
  buffer.set(logits);
  dual.use({ logits: buffer, tokens }, epsilon);
  const gradient = new Float64Array(experts);
  const gradientAt = (x: readonly number[]) => {
    dual.evaluate(Float64Array.from(x), gradient);
    return Array.from(gradient);
  };

  it("has the value of its formula, the same along 1", () => {
    // A few roundings of numbers up to 5.
    expect(Math.abs(dual.evaluate(Float64Array.from(point), gradient) - plainDual(point))).toBeLessThan(1e-14);
    const moved = Float64Array.from(point, (g) => g + 100);
    // The potential is rounded at 100 instead of 1.
    expect(Math.abs(dual.evaluate(moved, gradient) - plainDual(point))).toBeLessThan(1e-13);
    expect(Math.max(...columnPotential)).toBe(0);
  });

  it("has the slope of its value as gradient, whose L1 norm is the plan's marginal error", () => {
    const plan = rows.map((row) => softmax(row.map((z, e) => z / epsilon + point[e])));
    const found = gradientAt(point);
    found.forEach((slope, e) => {
      const step = 1e-5;
      const at = (by: number) => plainDual(point.map((g, i) => (i === e ? g + by : g)));
      // Central differences are good to step² and to 1e-15 / step.
      expect(Math.abs(slope - (at(step) - at(-step)) / (2 * step))).toBeLessThan(1e-9);
    });
    expect(found.reduce((sum, slope) => sum + Math.abs(slope), 0)).toBeCloseTo(columnError(plan), 13);
  });

  it("has as Hessian the slope of its gradient, but for entries below a hundredth of the error", () => {
    dual.evaluate(Float64Array.from(point), gradient);
    const error = gradient.reduce((sum, slope) => sum + Math.abs(slope), 0);
    const hessian = new Float64Array(experts * experts);
    dual.hessian(Float64Array.from(point), hessian);
    const dropped = (0.01 * error) / experts;
    for (let i = 0; i < experts; i++) {
      const at = (by: number) => gradientAt(point.map((g, e) => (e === i ? g + by : g)));
      const [above, below] = [at(1e-5), at(-1e-5)];
      for (let j = 0; j < experts; j++) {
        // A row that leaves out entries of mass m, at most experts of them, changes its part by less than 2m.
        expect(Math.abs(hessian[i * experts + j] - (above[j] - below[j]) / 2e-5)).toBeLessThan(2 * experts * dropped);
      }
    }
    expect(2 * experts * dropped).toBeLessThan(0.02);
  });

  it("balances columns as Sinkhorn does", () => {
    const x = new Float64Array(experts);
    for (let sweep = 0; sweep < 3; sweep++) {
      dual.evaluate(x, gradient);
      dual.balanceColumns(x);
    }
    dual.evaluate(x, gradient);
    const plan = plainSinkhorn(rows, epsilon, 3);
    const sums = normalised(plan.reduce((sum, row) => sum.map((s, e) => s + row[e]), new Array(experts).fill(0)));
    gradient.forEach((slope, e) => {
      expect(slope).toBeCloseTo(sums[e] - 1 / experts, 13);
    });
  });
});
