import { describe, expect, it } from "vitest";
import { createTopKDescent } from "../../../../src/core/transport/hindsight/topk-descent.ts";
import { createTopKDual } from "../../../../src/core/transport/hindsight/topk-dual.ts";
import { backends } from "../../../support/backends.ts";
import { float64, normals } from "../../kernels/matrices.ts";

describe.each(backends)("the smoothed top-k dual on $backend kernels", (kernels) => {
  const [tokens, experts, topK] = [80, 9, 3];
  const scores = normals(1, tokens * experts);
  const blockOf = (from: number, to: number, weight: number) => ({
    scores: float64(kernels, scores.slice(from * experts, to * experts)),
    tokens: to - from,
    threshold: kernels.allocateFloat64(to - from).fill(Number.NaN),
    weight,
  });
  const price = Float64Array.from(normals(2, experts, 0.2), Math.abs);
  const capacityOf = (tokensEach: number) => new Float64Array(experts).fill(tokensEach);

  it("is the same sum however the tokens are cut into blocks, and weighs them", () => {
    const dual = createTopKDual(kernels, experts, topK, 1);
    const [whole, parts] = [
      [blockOf(0, tokens, 0.5)],
      [blockOf(0, 30, 0.5), blockOf(30, 41, 0.5), blockOf(41, tokens, 0.5)],
    ];
    const [first, second] = [whole, parts].map((blocks) => {
      const gradient = new Float64Array(experts);
      const hessian = new Float64Array(experts * experts);
      dual.pose({ blocks, capacity: capacityOf(10), floor: 0 }, 0.3);
      const value = dual.evaluate(price, gradient);
      dual.hessian(price, hessian);
      return [value, dual.smoothingBound(price), ...gradient, ...hessian];
    });
    second.forEach((number, i) => {
      expect(Math.abs(number - first[i])).toBeLessThan(1e-11);
    });
    const gradient = new Float64Array(experts);
    dual.pose({ blocks: [blockOf(0, 40, 2), blockOf(40, tokens, 3)], capacity: capacityOf(0), floor: 0 }, 0.3);
    const mixed = dual.evaluate(price, gradient);
    const masses = gradient.slice();
    dual.pose({ blocks: [blockOf(0, 40, 1)], capacity: capacityOf(0), floor: 0 }, 0.3);
    let expected = 2 * dual.evaluate(price, gradient);
    const expectedMasses = gradient.map((g) => 2 * g);
    dual.pose({ blocks: [blockOf(40, tokens, 1)], capacity: capacityOf(0), floor: 0 }, 0.3);
    expected += 3 * dual.evaluate(price, gradient);
    expect(Math.abs(mixed - expected)).toBeLessThan(1e-11);
    masses.forEach((m, e) => {
      expect(Math.abs(m - expectedMasses[e] - 3 * gradient[e])).toBeLessThan(1e-12);
    });
  });

  it("is above the exact dual by at most the bound of its smoothing", () => {
    const dual = createTopKDual(kernels, experts, topK, 1);
    for (const floor of [0, Number.NEGATIVE_INFINITY]) {
      for (const width of [0.01, 0.3, 2]) {
        dual.pose({ blocks: [blockOf(0, tokens, 1)], capacity: capacityOf(7), floor }, width);
        const smoothed = dual.evaluate(price, new Float64Array(experts));
        const bound = dual.smoothingBound(price);
        const exact = dual.exact(price, new Float64Array(experts));
        expect(smoothed).toBeGreaterThanOrEqual(exact - 1e-12);
        // The maximisers' smoothing term bounds the difference.
        expect(smoothed - exact).toBeLessThanOrEqual(bound + 1e-12);
      }
    }
  });

  it("has its minimum where the demand meets the capacity", () => {
    const dual = createTopKDual(kernels, experts, topK, 1);
    const found = new Float64Array(experts);
    const report = createTopKDescent(dual, experts).minimize(
      {
        blocks: [blockOf(0, tokens, 1)],
        capacity: capacityOf((tokens * topK) / experts),
        floor: Number.NEGATIVE_INFINITY,
      },
      found,
      { width: 0.5, tolerance: 1e-6, maxIterations: 60, lowerBound: Number.NEGATIVE_INFINITY },
    );
    expect(report.converged).toBe(true);
    const gradient = new Float64Array(experts);
    dual.evaluate(found, gradient);
    expect(gradient.reduce((sum, g) => sum + Math.abs(g), 0)).toBeLessThan(2e-6);
  });
});
