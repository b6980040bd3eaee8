import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../../src/core/kernels/kernels.ts";
import { createSparseRowsSolver } from "../../../../src/core/transport/sparse/sparse-rows.ts";
import {
  createSparsityConstrainedSolver,
  type SparsityConstrainedOptions,
} from "../../../../src/core/transport/sparse/sparsity-constrained.ts";
import { backends } from "../../../support/backends.ts";
import { largestDifference, type Matrix, toMatrix } from "../../../support/plain.ts";
import { quadraticProgram } from "../../../support/quadratic-program.ts";
import { randomLogits, skewedLogits } from "../../../support/random-logits.ts";

const [reference, wasm] = backends;
const none = Number.NEGATIVE_INFINITY;
const defaults: SparsityConstrainedOptions = {
  formulation: "semi-dual",
  solver: "lbfgs",
  learningRate: 0.01,
  gamma: 1,
  maxIterations: 200,
  tolerance: 1e-5,
};

function solve(
  affinity: Float32Array,
  experts: number,
  topK: number,
  options: Partial<SparsityConstrainedOptions> = {},
  kernels: Kernels = reference,
) {
  const tokens = affinity.length / experts;
  const solver = createSparseRowsSolver(kernels, tokens, experts, topK, { ...defaults, ...options });
  const own = kernels.allocateFloat32(affinity.length);
  own.set(affinity);
  const { expert, mass, potential, ...rest } = solver.solve({
    affinity: own,
    tokens,
    hasDisabled: affinity.includes(none),
  });
  const plan = Array.from({ length: tokens }, () => new Array<number>(experts).fill(0));
  mass.forEach((own, slot) => {
    if (own > 0) plan[Math.floor(slot / topK)][expert[slot]] = own;
  });
  return { ...rest, plan, potential: Array.from(potential), expert: toMatrix(expert, tokens, topK) };
}

const columnSums = (plan: Matrix) => plan[0].map((_, e) => plan.reduce((sum, row) => sum + row[e], 0));

function objective(plan: Matrix, affinity: Matrix, gamma: number): number {
  return plan.reduce(
    (sum, row, t) => sum + row.reduce((part, mass, e) => part - affinity[t][e] * mass + (gamma / 2) * mass * mass, 0),
    0,
  );
}

/** D at any α: every row's best support by trying all of them. */
function dualByTryingAll(affinity: Matrix, potential: readonly number[], topK: number, gamma: number): number {
  const [tokens, experts] = [affinity.length, potential.length];
  let value = potential.reduce((sum, own) => sum + own, 0) * (tokens / experts);
  for (const row of affinity) {
    let best = none;
    for (let mask = 1; mask < 2 ** experts; mask++) {
      const v = row.map((own, e) => own + potential[e]).filter((_, e) => (mask >> e) & 1);
      if (v.length > topK) continue;
      // τ by halving, between what gives too much and nothing.
      let [low, high] = [Math.min(...v) - gamma, Math.max(...v)];
      for (let halving = 0; halving < 80; halving++) {
        const middle = (low + high) / 2;
        if (v.reduce((sum, own) => sum + Math.max(0, own - middle), 0) > gamma) low = middle;
        else high = middle;
      }
      const p = v.map((own) => Math.max(0, own - low) / gamma);
      best = Math.max(
        best,
        p.reduce((sum, own, i) => sum + v[i] * own - (gamma / 2) * own * own, 0),
      );
    }
    value -= best;
  }
  return value;
}

interface AdamCase {
  readonly sparsity: "tokens" | "experts";
  readonly tokens: number;
  readonly experts: number;
  readonly cardinality: number;
  readonly gamma: number;
  readonly steps: number;
  readonly learningRate: number;
  readonly dual: number;
  readonly plan: number[];
}

const adamCases: AdamCase[] = JSON.parse(
  readFileSync(new URL("../../../fixtures/sparse-transport/adam.json", import.meta.url), "utf8"),
);

/** The affinities of the fixtures' `make.py`. */
function closedForm(tokens: number, experts: number): Float32Array {
  return Float32Array.from({ length: tokens * experts }, (_, entry) => {
    const [t, e] = [Math.floor(entry / experts), entry % experts];
    return ((t * 7919 + e * 104729 + t * e * 31) % 1009) / 1024;
  });
}

describe("Adam's steps from 0 on the semi-dual", () => {
  it.each(adamCases)("are numpy's: $sparsity, $tokens × $experts, $cardinality, γ $gamma", (one) => {
    const { sparsity, tokens, experts, cardinality, gamma, steps, learningRate } = one;
    const options = { ...defaults, solver: "adam" as const, gamma, maxIterations: steps, learningRate };
    const affinity = closedForm(tokens, experts);
    const expected = toMatrix(one.plan, tokens, experts);
    // Values below 10, rounded at each of some 50 steps.
    const rounding = 1e-12 / gamma;
    if (sparsity === "tokens") {
      const { plan, dual, iterations } = solve(affinity, experts, cardinality, options);
      expect(largestDifference(plan, expected)).toBeLessThan(rounding);
      expect(Math.abs(dual - one.dual)).toBeLessThan(1e-11);
      expect(iterations).toBe(steps);
      return;
    }
    const solver = createSparsityConstrainedSolver(reference, tokens, experts, cardinality, options);
    const { plan, dual, iterations, polishIterations } = solver.solve({ affinity, tokens, maxTokens: cardinality });
    expect(Math.abs(dual - one.dual)).toBeLessThan(1e-11);
    expect([iterations, polishIterations]).toEqual([steps, 0]);
    const { columnStart, token, mass, rowSum } = plan;
    const own = expected.map((row) => row.map(() => 0));
    for (let e = 0; e < experts; e++) {
      for (let i = columnStart[e]; i < columnStart[e + 1]; i++) own[token[i]][e] = mass[i] * rowSum[token[i]];
    }
    expect(largestDifference(own, expected)).toBeLessThan(rounding);
  });
});

describe("the plan with sparse rows", () => {
  it.each([0.05, 0.5, 5])("is at γ = %d and K = E the one of an exact quadratic program", (gamma) => {
    const affinity = closedForm(10, 4);
    const rows = toMatrix(affinity, 10, 4);
    const expected = quadraticProgram(rows, gamma, () => true)!;
    const { plan, converged, primal, dualityGap } = solve(affinity, 4, 4, { gamma, tolerance: 1e-9 });
    expect(converged).toBe(true);
    // Masses follow the marginals with a factor of the problem's condition, far below 1000 here.
    expect(largestDifference(plan, expected)).toBeLessThan(1e-6);
    expect(primal).toBeCloseTo(objective(expected, rows, gamma), 6);
    expect(Math.abs(dualityGap)).toBeLessThan(1e-6);
  });

  it("is the best of all supports where it meets its marginals, and its dual bounds them where it does not", () => {
    const [tokens, experts, topK] = [4, 3, 2];
    let met = 0;
    let missed = 0;
    for (const gamma of [0.05, 0.3, 1, 4]) {
      for (let seed = 0; seed < 6; seed++) {
        const affinity = randomLogits(`best ${seed}`, tokens, experts);
        const rows = toMatrix(affinity, tokens, experts);
        let optimum = Number.POSITIVE_INFINITY;
        for (let code = 0; code < 3 ** tokens; code++) {
          // Each token leaves out one expert.
          const plan = quadraticProgram(rows, gamma, (t, e) => Math.floor(code / 3 ** t) % 3 !== e);
          if (plan !== undefined) optimum = Math.min(optimum, objective(plan, rows, gamma));
        }
        const { dual, primal, converged } = solve(affinity, experts, topK, { gamma, tolerance: 1e-7 });
        expect(dual).toBeLessThan(optimum + 1e-6);
        if (converged) expect(Math.abs(primal - optimum)).toBeLessThan(1e-5);
        if (converged) met += 1;
        else missed += 1;
      }
    }
    expect(met).toBeGreaterThan(3);
    expect(missed).toBeGreaterThan(3);
  });

  it("has rows of at most K that sum to 1, reports its own errors, and climbs a concave bound", () => {
    const cases = fc.record({
      tokens: fc.integer({ min: 1, max: 24 }),
      experts: fc.integer({ min: 1, max: 6 }),
      topK: fc.integer({ min: 1, max: 6 }),
      gamma: fc.constantFrom(0.01, 0.3, 1, 10),
      solver: fc.constantFrom("lbfgs" as const, "adam" as const),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(cases, ({ tokens, experts, gamma, solver, seed, ...rest }) => {
        const topK = Math.min(experts, rest.topK);
        const affinity = randomLogits(`${seed}`, tokens, experts);
        const rows = toMatrix(affinity, tokens, experts);
        const result = solve(affinity, experts, topK, { gamma, solver, maxIterations: 30 });
        const { plan, potential, dual, primal, marginalError } = result;
        for (const row of plan) {
          expect(row.filter((mass) => mass > 0).length).toBeLessThanOrEqual(topK);
          expect(row.every((mass) => mass >= 0)).toBe(true);
          expect(row.reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 10);
        }
        const missed = columnSums(plan).reduce((sum, own) => sum + Math.abs(own - tokens / experts), 0) / tokens;
        expect(marginalError).toBeCloseTo(missed, 12);
        expect(result.converged).toBe(marginalError <= 1e-5);
        expect(primal).toBeCloseTo(objective(plan, rows, gamma), 9);
        expect(dual).toBeCloseTo(dualByTryingAll(rows, potential, topK, gamma), 9);
        expect(result.dualityGap).toBeCloseTo(primal - dual, 9);
        expect(potential.reduce((sum, own) => sum + own, 0)).toBeCloseTo(0, 12);
        // L-BFGS never ends below its start; the value halfway between two points of a concave function is not below the mean.
        const zero = potential.map(() => 0);
        const atZero = dualByTryingAll(rows, zero, topK, gamma);
        if (solver === "lbfgs") expect(dual).toBeGreaterThan(atZero - 1e-10);
        const half = potential.map((own) => own / 2);
        expect(dualByTryingAll(rows, half, topK, gamma)).toBeGreaterThan((dual + atZero) / 2 - 1e-9);
        // Any feasible plan is worth at least the bound: here the one with one expert a token, where E divides T.
        if (tokens % experts === 0) {
          const cyclic = rows.map((row, t) => row.map((_, e) => Number(e === t % experts)));
          expect(dual).toBeLessThan(objective(cyclic, rows, gamma) + 1e-9);
        }
      }),
      { seed: 5, numRuns: 120 },
    );
  });

  it("meets the tolerance where the cardinality does not bind, on skewed logits", () => {
    const [tokens, experts, topK] = [256, 16, 8];
    const affinity = skewedLogits("skewed", tokens, experts, 3);
    const { converged, marginalError, plan, iterations } = solve(affinity, experts, topK, { gamma: 0.1 }, wasm);
    expect(converged).toBe(true);
    expect(marginalError).toBeLessThanOrEqual(1e-5);
    expect(iterations).toBeLessThan(200);
    expect(largestDifference([columnSums(plan)], [new Array<number>(experts).fill(16)])).toBeLessThan(1e-3);
  });

  it("counts a plan as not converged where the cardinality binds, and comes closer than twenty steps of Adam", () => {
    const [tokens, experts, topK] = [256, 16, 2];
    const affinity = skewedLogits("binding", tokens, experts, 1);
    const exact = solve(affinity, experts, topK, { gamma: 20 }, wasm);
    const authors = solve(affinity, experts, topK, { solver: "adam", maxIterations: 20 }, wasm);
    expect([exact.converged, authors.converged]).toEqual([false, false]);
    expect(exact.marginalError).toBeLessThan(0.05);
    expect(authors.marginalError).toBeGreaterThan(0.3);
    expect(exact.plan.flat().filter((mass) => mass > 0)).toHaveLength(2 * tokens);
  });

  it("gives all mass of a token to its expert where E = 1 or K = 1, and a single token its favourites", () => {
    expect(solve(closedForm(5, 1), 1, 1).plan).toEqual(new Array(5).fill([1]));
    const one = solve(Float32Array.of(3, 1, 2.5, 0), 4, 2, { solver: "adam", maxIterations: 0 });
    expect(one.plan).toEqual([[0.75, 0, 0.25, 0]]);
    const { plan } = solve(closedForm(20, 4), 4, 1, { gamma: 0.2 });
    expect(plan.flat().every((mass) => mass === 0 || mass === 1)).toBe(true);
  });

  it("gives equal affinities to the lowest experts before the first step", () => {
    const { expert } = solve(new Float32Array(12).fill(0.25), 4, 2, { maxIterations: 0 });
    expect(expert).toEqual(new Array(3).fill([0, 1]));
  });

  it("leaves disabled experts and tokens without any out of the marginals", () => {
    const [tokens, experts] = [24, 5];
    const whole = skewedLogits("disabled", tokens, 4, 1);
    // Expert 2 is disabled for all, token 0 has none, and token 3 lacks expert 1.
    const affinity = new Float32Array((tokens + 1) * experts).fill(none);
    whole.forEach((value, entry) => {
      const [t, e] = [Math.floor(entry / 4), entry % 4];
      affinity[(t + 1) * experts + (e < 2 ? e : e + 1)] = value;
    });
    const without = solve(affinity, experts, 3, { gamma: 0.1, tolerance: 1e-8 });
    const compact = solve(whole, 4, 3, { gamma: 0.1, tolerance: 1e-8 });
    expect(without.converged).toBe(true);
    expect(without.plan[0]).toEqual([0, 0, 0, 0, 0]);
    const kept = without.plan.slice(1).map((row) => row.filter((_, e) => e !== 2));
    expect(largestDifference(kept, compact.plan)).toBeLessThan(1e-6);
    expect(without.dual).toBeCloseTo(compact.dual, 6);
    affinity[3 * experts + 1] = none;
    const lacking = solve(affinity, experts, 3, { gamma: 0.1 });
    expect(lacking.plan[3][1]).toBe(0);
    expect(lacking.converged).toBe(true);
    expect(solve(new Float32Array(6).fill(none), 3, 2)).toMatchObject({ marginalError: 0, converged: true, dual: 0 });
  });

  it("is the same on both kernels, and solves shorter problems with the same buffers", () => {
    const affinity = randomLogits("both", 40, 9);
    for (const solver of ["lbfgs", "adam"] as const) {
      const [first, second] = [reference, wasm].map((kernels) =>
        solve(affinity, 9, 3, { solver, gamma: 0.3 }, kernels),
      );
      expect(second).toEqual(first);
    }
    const solver = createSparseRowsSolver(reference, 40, 9, 3, defaults);
    solver.solve({ affinity, tokens: 40 });
    const short = randomLogits("short", 12, 9);
    const { mass, dual } = solver.solve({ affinity: short, tokens: 12 });
    expect(dual).toBe(solve(short, 9, 3).dual);
    expect(mass.subarray(0, 36).reduce((sum, own) => sum + own, 0)).toBeCloseTo(12, 10);
  });

  it("stays finite for logits of 1e4 and any γ", () => {
    for (const gamma of [1e-6, 1, 1e6]) {
      const { plan, dual, primal } = solve(randomLogits("far", 16, 4, 1e4), 4, 2, { gamma });
      expect(plan.flat().every(Number.isFinite)).toBe(true);
      expect([dual, primal].every(Number.isFinite)).toBe(true);
    }
  });
});
