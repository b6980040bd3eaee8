import { describe, expect, it } from "vitest";
import { createPlanSelection } from "../../../../src/core/routers/parts/plan-selection.ts";
import { backends } from "../../../support/backends.ts";
import { countLoad, largestIndices, softmax, toMatrix } from "../../../support/plain.ts";
import { randomLogits } from "../../../support/random-logits.ts";

const shape = { tokens: 30, experts: 6, topK: 2, capacityFactor: 1 };

describe.each(backends)("createPlanSelection on $backend kernels", (kernels) => {
  it.each([0.1, 1, 7])("selects at ε = %d the K largest of the plan's rows, without the plan", (epsilon) => {
    const logits = kernels.allocateFloat32(shape.tokens * shape.experts);
    logits.set(randomLogits("selection", shape.tokens, shape.experts, 2));
    const potential = kernels.allocateFloat64(shape.experts);
    potential.set([0, -0.5, -3, -0.1, -1, -2]);
    const expert = kernels.allocateInt32(shape.tokens * shape.topK);
    const load = kernels.allocateInt32(shape.experts);
    const gate = kernels.allocateFloat32(shape.tokens * shape.topK);
    const batch = { step: 0, tokens: shape.tokens, experts: shape.experts, logits };
    createPlanSelection(kernels, shape, epsilon).select(
      batch,
      { columnPotential: potential, potentialError: 0 },
      expert,
      load,
      gate,
    );
    const plan = toMatrix(logits, shape.tokens, shape.experts).map((row) =>
      softmax(row.map((logit, e) => logit / epsilon + potential[e])),
    );
    const chosen = plan.map((row) => largestIndices(row, shape.topK));
    expect(toMatrix(expert, shape.tokens, shape.topK)).toEqual(chosen);
    expect(Array.from(load)).toEqual(countLoad(chosen, shape.experts));
  });

  it("gives entries that are equal but for their rounding to the lower index, with their gates and loads", () => {
    const expert = kernels.allocateInt32(4);
    const load = kernels.allocateInt32(5);
    const gate = kernels.allocateFloat32(4);
    const wide = { tokens: 2, experts: 5, topK: 2, capacityFactor: 1 };
    const logits = kernels.allocateFloat32(10);
    // 0.5 + g is the largest of the first row, by 1e-9 at expert 4; in the second row expert 1 is ahead by 1e-4.
    logits.set([-9, 0.5, 0.25, 0.5, 0.5, -9, 0.5001, 0.25, 0.5, 0.5]);
    const potential = kernels.allocateFloat64(5);
    potential.set([0, 0, 0.25, 1e-9, 2e-9]);
    const batch = { step: 0, tokens: 2, experts: 5, logits };
    createPlanSelection(kernels, wide, 1).select(
      batch,
      { columnPotential: potential, potentialError: 0 },
      expert,
      load,
      gate,
    );
    expect(Array.from(expert)).toEqual([1, 2, 1, 2]);
    expect(Array.from(load)).toEqual([0, 2, 2, 0, 0]);
    expect(Math.abs(gate[0] - 0.5) + Math.abs(gate[1] - 0.5)).toBeLessThan(1e-6);
    expect(gate[2]).toBeGreaterThan(gate[3]);
  });

  it("keeps the order of entries that underflow in the plan itself", () => {
    const expert = kernels.allocateInt32(2);
    const load = kernels.allocateInt32(4);
    const gate = kernels.allocateFloat32(2);
    const wide = { tokens: 1, experts: 4, topK: 2, capacityFactor: 1 };
    const logits = kernels.allocateFloat32(4);
    logits.set([0, -3000, -2000, -4000]);
    const batch = { step: 0, tokens: 1, experts: 4, logits };
    createPlanSelection(kernels, wide, 1).select(
      batch,
      { columnPotential: kernels.allocateFloat64(4), potentialError: 0 },
      expert,
      load,
      gate,
    );
    expect(Array.from(expert)).toEqual([0, 2]);
  });
});
