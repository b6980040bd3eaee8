import { describe, expect, it } from "vitest";
import { InputError, transport } from "../../../src/index.ts";
import { bruteForceOptimum } from "../../support/brute-force.ts";
import {
  columnError,
  largestDifference,
  largestIndices,
  plainSinkhorn,
  softmax,
  toMatrix,
} from "../../support/plain.ts";
import { randomLogits, skewedLogits } from "../../support/random-logits.ts";

describe("solveAssignment", () => {
  it("finds the optimum that trying every assignment finds, and prices that prove it", () => {
    for (const seed of ["a", "b", "c", "d"]) {
      const scores = randomLogits(seed, 5, 3);
      const problem = { scores, experts: 3, topK: 2, capacity: 3 };
      const { value, expert, load, price, upperBound, exact } = transport.solveAssignment(problem);
      const rows = toMatrix(scores, 5, 3);
      // Sums of ten float64 numbers.
      expect(value).toBeCloseTo(bruteForceOptimum(rows, 2, 3), 12);
      expect([exact, upperBound]).toEqual([true, value]);
      const pairs = Array.from(expert).flatMap((e, slot) => (e < 0 ? [] : [rows[Math.floor(slot / 2)][e]]));
      expect(pairs.reduce((sum, score) => sum + score, 0)).toBeCloseTo(value, 12);
      expect(Math.max(...load)).toBeLessThanOrEqual(3);
      let bound = 3 * price.reduce((sum, p) => sum + p, 0);
      for (const row of rows) {
        const net = row.map((score, e) => Math.max(0, score - price[e]));
        for (const e of largestIndices(net, 2)) bound += net[e];
      }
      expect(bound).toBeCloseTo(value, 12);
    }
  });

  it("stops within the gap that was asked for, with a bound that holds", () => {
    const scores = skewedLogits("gap", 200, 8, 2);
    const exact = transport.solveAssignment({ scores, experts: 8, topK: 2, capacity: 50 });
    const near = transport.solveAssignment({ scores, experts: 8, topK: 2, capacity: 50, gap: 0.05 });
    expect(near.value).toBeLessThanOrEqual(exact.value + 1e-9);
    expect(near.upperBound).toBeGreaterThanOrEqual(exact.value - 1e-9);
    expect(near.upperBound - near.value).toBeLessThanOrEqual(0.05 * 400);
  });
});

describe("solveEntropic", () => {
  it.each(["sinkhorn", "sns"] as const)("finds with %s the plan that plain alternation finds", (solver) => {
    const logits = skewedLogits("entropic", 40, 5, 1);
    const { plan, columnPotential, marginalError, converged } = transport.solveEntropic({
      logits,
      experts: 5,
      epsilon: 0.5,
      solver,
      tolerance: 1e-6,
      maxIterations: 2000,
    });
    const rows = toMatrix(logits, 40, 5);
    const found = toMatrix(plan, 40, 5);
    expect(converged).toBe(true);
    // Entries are float32, and the plan is known up to the tolerance of its columns.
    expect(largestDifference(found, plainSinkhorn(rows, 0.5, 3000))).toBeLessThan(2e-5);
    expect(columnError(found)).toBeLessThan(2e-6);
    expect(marginalError).toBeLessThanOrEqual(1e-6);
    const fromPotential = rows.map((row) => softmax(row.map((logit, e) => logit / 0.5 + columnPotential[e])));
    expect(largestDifference(found, fromPotential)).toBeLessThan(1e-6);
  });

  it("says when it has not converged", () => {
    const logits = skewedLogits("entropic", 40, 5, 4);
    const { converged, iterations } = transport.solveEntropic({
      logits,
      experts: 5,
      maxIterations: 1,
      tolerance: 1e-9,
    });
    expect([converged, iterations]).toEqual([false, 1]);
  });
});

describe("solveSparsityConstrained", () => {
  it("keeps rows, columns and cardinality, and its value is the plan's own", () => {
    const affinity = randomLogits("sparse", 24, 4);
    const { plan, columnCardinality, converged, primal, dual } = transport.solveSparsityConstrained({
      affinity,
      experts: 4,
      maxTokens: 12,
      gamma: 0.5,
    });
    expect(converged).toBe(true);
    const rows = toMatrix(plan, 24, 4);
    // The tolerance of rows and columns is 1e-5.
    for (const row of rows) expect(row.reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 4);
    expect(columnError(rows)).toBeLessThan(2e-5);
    const cardinality = [0, 1, 2, 3].map((e) => rows.filter((row) => row[e] > 0).length);
    expect(Array.from(columnCardinality)).toEqual(cardinality);
    expect(Math.max(...cardinality)).toBeLessThanOrEqual(12);
    const value = plan.reduce((sum, mass, i) => sum - affinity[i] * mass + 0.25 * mass ** 2, 0);
    expect(primal).toBeCloseTo(value, 9);
    expect(dual).toBeLessThanOrEqual(primal + 1e-3);
  });
});

describe("solveSparseRows", () => {
  it("keeps rows and cardinality, and its rows are those of its prices", () => {
    const affinity = skewedLogits("sparse rows", 60, 5, 1);
    const problem = { affinity, experts: 5, topK: 3, gamma: 0.2 };
    const { plan, price, converged, primal, dual } = transport.solveSparseRows(problem);
    expect(converged).toBe(true);
    const rows = toMatrix(plan, 60, 5);
    expect(columnError(rows)).toBeLessThan(2e-5);
    rows.forEach((row, t) => {
      expect(row.reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 12);
      const worth = price.map((own, e) => affinity[5 * t + e] - own);
      const best = largestIndices(Array.from(worth), 3);
      // γ·p = worth − τ wherever there is mass, which is among the three best.
      const threshold = worth[best[0]] - 0.2 * row[best[0]];
      row.forEach((mass, e) => {
        const excess = best.includes(e) ? Math.max(0, worth[e] - threshold) : 0;
        expect(Math.abs(0.2 * mass - excess)).toBeLessThan(1e-12);
      });
    });
    const value = plan.reduce((sum, mass, i) => sum - affinity[i] * mass + 0.1 * mass ** 2, 0);
    expect(primal).toBeCloseTo(value, 9);
    expect(Math.abs(primal - dual)).toBeLessThan(1e-3);
    const few = transport.solveSparseRows({ ...problem, solver: "adam", maxIterations: 20, learningRate: 0.01 });
    expect(few).toMatchObject({ iterations: 20, converged: false });
  });
});

it("leaves what it was given as it was, and returns memory of its own", () => {
  const given = randomLogits("own", 8, 4);
  const before = given.slice();
  const { expert, load, price } = transport.solveAssignment({ scores: given, experts: 4, topK: 1, capacity: 2 });
  const { plan, columnPotential } = transport.solveEntropic({ logits: given, experts: 4 });
  const sparse = transport.solveSparsityConstrained({ affinity: given, experts: 4, maxTokens: 4 });
  const rows = transport.solveSparseRows({ affinity: given, experts: 4, topK: 2 });
  expect(given).toEqual(before);
  for (const array of [
    expert,
    load,
    price,
    plan,
    columnPotential,
    sparse.plan,
    sparse.columnCardinality,
    rows.plan,
    rows.price,
  ]) {
    expect(array.buffer).toBeInstanceOf(ArrayBuffer);
  }
});

it.each([
  [
    () => transport.solveAssignment({ scores: [1, 2, 3], experts: 2, topK: 1, capacity: 1 }),
    /one or more whole rows of 2/,
  ],
  [() => transport.solveAssignment({ scores: [1, 2], experts: 2, topK: 3, capacity: 1 }), /topK: 3 is not allowed/],
  [() => transport.solveAssignment({ scores: [1, Number.NaN], experts: 2, topK: 1, capacity: 1 }), /token 0, expert 1/],
  [() => transport.solveAssignment({ scores: [1, 2], experts: 2, topK: 1, capacity: 0.5 }), /capacity: 0.5/],
  [() => transport.solveEntropic({ logits: [1, 2], experts: 2, epsilon: 0 }), /epsilon: 0/],
  [() => transport.solveEntropic({ logits: "12" as unknown as number[], experts: 2 }), /an array of numbers/],
  [
    () => transport.solveSparsityConstrained({ affinity: [1, 2, 3, 4, 5, 6], experts: 2, maxTokens: 1 }),
    /maxTokens: 1/,
  ],
  [() => transport.solveSparseRows({ affinity: [1, 2], experts: 2, topK: 3 }), /topK: 3 is not allowed/],
  [
    () => transport.solveSparseRows({ affinity: [1, 2], experts: 2, topK: 1, formulation: "dual" } as never),
    /formulation/,
  ],
])("refuses a problem that is none, case %#", (solve, message) => {
  expect(solve).toThrow(InputError);
  expect(solve).toThrow(message);
});
