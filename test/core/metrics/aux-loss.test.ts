import { describe, expect, it } from "vitest";
import { scoreKinds } from "../../../src/core/assignment.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import {
  type AuxLossRule,
  auxLoss,
  createLoadFractions,
  createMeanAffinities,
} from "../../../src/core/metrics/aux-loss.ts";
import { switchLoss } from "../../support/gate-twins.ts";
import { countLoad, largestIndices, type Matrix, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";

const [experts, topK] = [6, 2];
const shape = { tokens: 150, experts, topK };
const rule = (part: Partial<AuxLossRule> = {}): AuxLossRule => ({
  scope: "batch",
  sequenceTokens: 40,
  globalBatches: 3,
  ...part,
});
/** Affinities are computed in float64 from float32 logits; single ones may have the relative error 1e-6. */
const digits = 6;

function batchOf(rows: Matrix) {
  const kernels = createReferenceKernels();
  const logits = kernels.allocateFloat32(rows.length * experts);
  logits.set(rows.flat());
  const hasDisabled = rows.flat().includes(Number.NEGATIVE_INFINITY);
  return { step: 0, tokens: rows.length, experts, logits, hasDisabled };
}

function assignmentOf(expert: Matrix) {
  const flat = Int32Array.from(expert.flat());
  return {
    slots: topK,
    expert: flat,
    gate: new Float32Array(flat.length),
    load: Int32Array.from(countLoad(expert, experts)),
  };
}

const rowsOf = (step: number, tokens = 150) =>
  toMatrix(skewedLogits(`aux ${step}`, tokens, experts, 1), tokens, experts);
const best = (rows: Matrix) => rows.map((row) => largestIndices(row, topK));
const fractionOf = (expert: Matrix) => countLoad(expert, experts).map((load) => load / (expert.length * topK));

function lossesOf(of: AuxLossRule, batches: readonly Matrix[], scores: (typeof scoreKinds)[number] = "softmax") {
  const means = createMeanAffinities(createReferenceKernels(), shape, scores, of);
  const fractions = createLoadFractions(shape, of);
  return batches.map((rows) => {
    means.observe(batchOf(rows));
    fractions.observe(assignmentOf(best(rows)), rows.length, means.pairs);
    return auxLoss(fractions.fraction, means);
  });
}

describe("the auxiliary loss of a choice", () => {
  it.each(scoreKinds)("is E·Σ f·p̄ with p̄ of %s affinities", (scores) => {
    const rows = rowsOf(0);
    const [loss] = lossesOf(rule(), [rows], scores);
    expect(loss).toBeCloseTo(switchLoss(rows, fractionOf(best(rows)), 1, scores), digits);
  });

  it("is 1 if the load is balanced, and E for one expert that has everything", () => {
    const means = createMeanAffinities(createReferenceKernels(), { ...shape, topK: 1 }, "softmax", rule());
    const fractions = createLoadFractions(shape, rule());
    const rows = Array.from({ length: 60 }, () => [99, 0, 0, 0, 0, 0]);
    means.observe(batchOf(rows));
    const one = {
      slots: 1,
      expert: new Int32Array(60),
      gate: new Float32Array(60),
      load: Int32Array.of(60, 0, 0, 0, 0, 0),
    };
    fractions.observe(one, 60, means.pairs);
    expect(auxLoss(fractions.fraction, means)).toBeCloseTo(6, 12);
    fractions.observe({ ...one, load: new Int32Array(6).fill(10) }, 60, means.pairs);
    expect(auxLoss(fractions.fraction, means)).toBeCloseTo(1, 12);
  });

  it("is the mean of the losses of sequences, the last one shorter", () => {
    const rows = rowsOf(1);
    const expected = [0, 40, 80, 120].map((first) => {
      const part = rows.slice(first, first + 40);
      return switchLoss(part, fractionOf(best(part)), 1);
    });
    const [loss] = lossesOf(rule({ scope: "sequence" }), [rows]);
    expect(loss).toBeCloseTo(expected.reduce((sum, value) => sum + value, 0) / 4, digits);
    expect(loss).toBeGreaterThan(lossesOf(rule(), [rows])[0]);
  });

  it("takes f of the last batches together in the global scope, and p̄ of its own", () => {
    const batches = [0, 1, 2, 3, 4].map((step) => rowsOf(step, step === 4 ? 10 : 150));
    const losses = lossesOf(rule({ scope: "global" }), batches);
    for (const [step, rows] of batches.entries()) {
      const together = batches.slice(Math.max(0, step - 2), step + 1).flatMap(best);
      expect(losses[step]).toBeCloseTo(switchLoss(rows, fractionOf(together), 1), digits);
    }
  });

  it("leaves out experts that are disabled for every token", () => {
    const rows = rowsOf(2).map((row) => row.map((z, e) => (e < 3 ? z : Number.NEGATIVE_INFINITY)));
    const enabled = rows.map((row) => row.slice(0, 3));
    const [loss] = lossesOf(rule(), [rows]);
    expect(loss).toBeCloseTo(switchLoss(enabled, fractionOf(best(enabled)).slice(0, 3), 1), digits);
  });
});
