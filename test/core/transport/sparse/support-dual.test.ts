import { expect, it } from "vitest";
import { createKernels } from "../../../../src/core/kernels/index.ts";
import { createPotentials } from "../../../../src/core/transport/entropic/potentials.ts";
import { createColumnCosts } from "../../../../src/core/transport/sparse/column-costs.ts";
import { createSupportDual } from "../../../../src/core/transport/sparse/support-dual.ts";
import { randomLogits } from "../../../support/random-logits.ts";

const kernels = createKernels();

it("has the gradient of central differences, which its masses' marginals are", () => {
  const [tokens, experts, gamma] = [9, 3, 0.7];
  const costs = createColumnCosts(kernels, tokens, experts);
  costs.read(randomLogits("support", tokens, experts), tokens);
  const dual = createSupportDual(costs, createPotentials(kernels, tokens, experts), gamma, 12);
  const support = {
    columnStart: Int32Array.of(0, 5, 8, 12),
    token: Int32Array.of(0, 1, 2, 5, 8, 3, 4, 5, 1, 6, 7, 8),
    mass: new Float64Array(12),
    rowSum: new Float64Array(tokens),
  };
  dual.use(support);
  const x = Float64Array.from(randomLogits("variables", tokens + experts, 1), (value) => 1 + value / 2);
  const [gradient, ignored] = [new Float64Array(x.length), new Float64Array(x.length)];
  dual.negativeValue(x, gradient);
  dual.writeMasses();
  const rows = new Float64Array(tokens).fill(-1);
  support.token.forEach((t, i) => {
    rows[t] += support.mass[i];
  });
  // Sums of at most 3 masses.
  rows.forEach((excess, t) => {
    expect(gradient[t]).toBeCloseTo(excess, 12);
  });
  const h = 1e-5;
  x.forEach((at, i) => {
    x[i] = at + h;
    const forward = dual.negativeValue(x, ignored);
    x[i] = at - h;
    const backward = dual.negativeValue(x, ignored);
    x[i] = at;
    // Values of about 10 rounded to 2e-15, over 2h.
    expect(Math.abs((forward - backward) / (2 * h) - gradient[i])).toBeLessThan(1e-9);
  });
});
