import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../../src/core/kernels/index.ts";
import type { SparsePlan } from "../../../../src/core/transport/sparse/sparse-plan.ts";
import {
  createSparsityConstrainedSolver,
  type SparsityConstrainedOptions,
} from "../../../../src/core/transport/sparse/sparsity-constrained.ts";
import { largestDifference, type Matrix, toMatrix } from "../../../support/plain.ts";
import { marginalErrorOf, quadraticProgram } from "../../../support/quadratic-program.ts";
import { randomLogits } from "../../../support/random-logits.ts";

const kernels = createKernels();
const formulations = ["dual", "semi-dual"] as const;
const defaults: SparsityConstrainedOptions = {
  formulation: "dual",
  solver: "lbfgs",
  learningRate: 0.01,
  gamma: 1,
  maxIterations: 200,
  tolerance: 1e-5,
};

function toRows({ columnStart, token, mass }: SparsePlan, tokens: number, experts: number): Matrix {
  const rows = Array.from({ length: tokens }, () => new Array<number>(experts).fill(0));
  for (let e = 0; e < experts; e++) {
    for (let i = columnStart[e]; i < columnStart[e + 1]; i++) rows[token[i]][e] += mass[i];
  }
  return rows;
}

function solve(affinity: Float32Array, experts: number, k: number, options: Partial<SparsityConstrainedOptions> = {}) {
  const tokens = affinity.length / experts;
  const solver = createSparsityConstrainedSolver(kernels, tokens, experts, k, { ...defaults, ...options });
  const { plan, ...rest } = solver.solve({ affinity, tokens, maxTokens: k });
  return { ...rest, plan: toRows(plan, tokens, experts) };
}

function objective(plan: Matrix, affinity: Matrix, gamma: number): number {
  return plan.reduce(
    (sum, row, t) => sum + row.reduce((part, mass, e) => part - affinity[t][e] * mass + (gamma / 2) * mass * mass, 0),
    0,
  );
}

/** All subsets of `size` of 0 … n − 1, as bit masks. */
function subsets(n: number, size: number): number[] {
  const bits = (mask: number) => mask.toString(2).replaceAll("0", "").length;
  return Array.from({ length: 2 ** n }, (_, mask) => mask).filter((mask) => bits(mask) === size);
}

/** A closed form that other languages reproduce to the last bit of float32 or nearly so. */
function sines(tokens: number, experts: number, phase: number): Float32Array {
  return Float32Array.from(
    { length: tokens * experts },
    (_, n) => 0.5 + 0.5 * Math.sin((Math.floor(n / experts) + 1) * ((n % experts) + 2) + phase),
  );
}

describe.each(formulations)("the sparsity-constrained plan by the %s", (formulation) => {
  it.each([0.05, 0.5, 5])("is at γ = %d and k = T the one of an exact quadratic program", (gamma) => {
    const affinity = sines(10, 4, 0.3);
    const rows = toMatrix(affinity, 10, 4);
    const expected = quadraticProgram(rows, gamma, () => true)!;
    const { plan, converged, primal, dualityGap } = solve(affinity, 4, 10, { formulation, gamma, tolerance: 1e-9 });
    expect(converged).toBe(true);
    // Masses follow the marginals with a factor of the problem's condition, far below 1000 here.
    expect(largestDifference(plan, expected)).toBeLessThan(1e-6);
    expect(primal).toBeCloseTo(objective(expected, rows, gamma), 6);
    expect(Math.abs(dualityGap)).toBeLessThan(1e-6);
  });

  it("is at a small γ the best assignment, found by trying all", () => {
    const affinity = sines(6, 3, 0);
    let best = Number.NEGATIVE_INFINITY;
    for (let code = 0; code < 3 ** 6; code++) {
      const choice = Array.from({ length: 6 }, (_, t) => Math.floor(code / 3 ** t) % 3);
      if ([0, 1, 2].some((e) => choice.filter((c) => c === e).length !== 2)) continue;
      best = Math.max(
        best,
        choice.reduce((sum, e, t) => sum + affinity[3 * t + e], 0),
      );
    }
    for (const k of [2, 4, 6]) {
      const gamma = 1e-3;
      const { plan, converged } = solve(affinity, 3, k, { formulation, gamma });
      expect(converged).toBe(true);
      const score = -objective(plan, toMatrix(affinity, 6, 3), 0);
      // ⟨C, P⟩ is at most the optimum plus (γ/2)·T, the most the norm can buy, and the error in the marginals.
      expect(Math.abs(score - best)).toBeLessThan((gamma / 2) * 6 + 1e-4);
    }
  });

  // POT 0.9.7.post1 with scipy 1.17.1 (L-BFGS-B), cost −S, a = 1, b = T/E, which it takes as they are; its max_nz is for
  // each column, as k is here: ot.smooth.smooth_ot_dual(a, b, M, gamma, reg_type="sparsity_constrained", max_nz=k,
  // stopThr=1e-13, numItermax=20000, log=True), and reg_type="l2" for k = T; the value is −log["res"].fun, the same to 6
  // digits from smooth_ot_semi_dual.
  it.each([
    { tokens: 12, experts: 3, k: 12, gamma: 0.5, phase: 0, value: -7.111903 },
    { tokens: 48, experts: 6, k: 48, gamma: 0.5, phase: 1, value: -36.11007 },
    { tokens: 48, experts: 6, k: 12, gamma: 0.02, phase: 1, value: -43.457408 },
  ])("has the value of another implementation: %o", ({ tokens, experts, k, gamma, phase, value }) => {
    const { primal, dual, converged } = solve(sines(tokens, experts, phase), experts, k, { formulation, gamma });
    expect(converged).toBe(true);
    // Half a unit of the sixth decimal, and the marginals' 1e-5 times potentials of about 1.
    expect(Math.abs(dual - value)).toBeLessThan(2e-6);
    expect(Math.abs(primal - value)).toBeLessThan(2e-5);
  });

  // The same calls; there the dual ends between the two formulations' −34.707464 and −34.706626, and so on, with plans
  // whose rows miss by 0.47, 0.28 and 0.41 at worst.
  it.each([
    { k: 12, gamma: 0.5, value: -34.7066 },
    { k: 16, gamma: 0.5, value: -35.76 },
    { k: 16, gamma: 1, value: -29.4081 },
  ])("meets the marginals where the dual has a kink: %o", ({ k, gamma, value }) => {
    const { plan, primal, dual, dualityGap, ...rest } = solve(sines(48, 6, 1), 6, k, { formulation, gamma });
    expect(rest.converged).toBe(true);
    expect(marginalErrorOf(plan)).toBeLessThanOrEqual(1e-5);
    expect(rest.maxColumnCardinality).toBeLessThanOrEqual(k);
    // L-BFGS stops after 200 steps on a function that is not smooth: the value is the other's to 1e-2.
    expect(Math.abs(dual - value)).toBeLessThan(1e-2);
    expect(primal).toBeGreaterThan(dual);
    expect(dualityGap).toBeLessThan(0.45);
  });

  it("is close to the optimum that trying every pair of supports finds, and its dual below it", () => {
    for (const phase of [0, 1, 2, 3]) {
      const [tokens, k, gamma] = [6, 4, 0.5];
      const affinity = sines(tokens, 2, phase);
      const rows = toMatrix(affinity, tokens, 2);
      let optimum = Number.POSITIVE_INFINITY;
      for (const first of subsets(tokens, k)) {
        for (const second of subsets(tokens, k)) {
          if ((first | second) !== 2 ** tokens - 1) continue;
          const plan = quadraticProgram(rows, gamma, (t, e) => (((e === 0 ? first : second) >> t) & 1) === 1);
          if (plan !== undefined) optimum = Math.min(optimum, objective(plan, rows, gamma));
        }
      }
      const { primal, dual, converged } = solve(affinity, 2, k, { formulation, gamma });
      expect(converged).toBe(true);
      expect(dual).toBeLessThan(optimum + 1e-4);
      expect(primal).toBeGreaterThan(optimum - 1e-4);
      // A heuristic on a problem that is not convex, which finds the optimum of these.
      expect(primal).toBeLessThan(optimum + 1e-4);
    }
  });

  it("has at a large γ the support of the cheapest balanced assignment, found by dynamic programming", () => {
    const [tokens, experts, k, gamma] = [24, 4, 12, 1000];
    for (const seed of ["a", "b", "c", "d", "e", "f"]) {
      // Shared by all tokens, the first experts' advantage makes them compete.
      const affinity = randomLogits(seed, tokens, experts).map((value, n) => value + (experts - (n % experts)));
      const rows = toMatrix(affinity, tokens, experts);
      // Best total by how many tokens each expert has, as the digits of a number to base k + 1.
      let best = new Map([[0, 0]]);
      for (const row of rows) {
        const next = new Map<number, number>();
        for (const [counts, total] of best) {
          for (const pair of subsets(experts, (k * experts) / tokens)) {
            const chosen = row.map((_, e) => e).filter((e) => (pair >> e) & 1);
            if (chosen.some((e) => Math.floor(counts / (k + 1) ** e) % (k + 1) === k)) continue;
            const after = chosen.reduce((sum, e) => sum + (k + 1) ** e, counts);
            const score = chosen.reduce((sum, e) => sum + row[e], total);
            if (score > (next.get(after) ?? Number.NEGATIVE_INFINITY)) next.set(after, score);
          }
        }
        best = next;
      }
      expect(best.size).toBe(1);
      // Without a step of the dual every expert starts from its favourites, and most tokens must be moved.
      for (const maxIterations of [0, 200]) {
        const { plan } = solve(affinity, experts, k, { formulation, gamma, maxIterations });
        const score = rows.flat().reduce((sum, value, n) => sum + (plan.flat()[n] > 0 ? value : 0), 0);
        // Sums of 48 doubles.
        expect(score).toBeCloseTo([...best.values()][0], 9);
      }
    }
  });

  it("never exceeds k, is not negative, reports its own errors, and bounds feasible plans from below", () => {
    const cases = fc.record({
      tokens: fc.integer({ min: 1, max: 24 }),
      experts: fc.integer({ min: 1, max: 6 }),
      extra: fc.nat(8),
      gamma: fc.constantFrom(0.01, 0.3, 1, 10),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(cases, ({ tokens, experts, extra, gamma, seed }) => {
        const k = Math.ceil(tokens / experts) + extra;
        const affinity = randomLogits(`${seed}`, tokens, experts);
        const rows = toMatrix(affinity, tokens, experts);
        const result = solve(affinity, experts, k, { formulation, gamma });
        const cardinality = rows[0].map((_, e) => result.plan.filter((row) => row[e] !== 0).length);
        expect(Array.from(result.columnCardinality)).toEqual(cardinality);
        expect(result.maxColumnCardinality).toBe(Math.max(...cardinality));
        expect(result.maxColumnCardinality).toBeLessThanOrEqual(Math.min(k, tokens));
        expect(result.plan.flat().every((mass) => mass >= 0)).toBe(true);
        expect(result.marginalError).toBeCloseTo(marginalErrorOf(result.plan), 12);
        expect(result.converged).toBe(result.marginalError <= 1e-5);
        expect(result.primal).toBeCloseTo(objective(result.plan, rows, gamma), 8);
        expect(result.dualityGap).toBe(result.primal - result.dual);
        expect(result.iterations - result.polishIterations).toBeLessThanOrEqual(200);
        // Mass out of place by the marginal error is worth at most that times T and the potentials, below 20 + γ·T here.
        if (result.converged) expect(result.dualityGap).toBeGreaterThan(-1e-5 * tokens * (20 + gamma * tokens));
        // Where E divides T, a plan exists whatever k ≥ T/E is.
        if (tokens % experts === 0) expect(result.converged).toBe(true);
      }),
      { seed: 2, numRuns: 60 },
    );
  });

  // One step from the start is far from the marginals; after many the plan is that of another support.
  it.each([1, 200])(
    "keeps the row sums it divided by, with which masses differ as costs do, after %d steps",
    (steps) => {
      const [tokens, experts, k, gamma] = [20, 5, 9, 2];
      const affinity = randomLogits("row sums", tokens, experts);
      const solver = createSparsityConstrainedSolver(kernels, tokens, experts, k, {
        ...defaults,
        formulation,
        gamma,
        maxIterations: steps,
      });
      const { plan } = solver.solve({ affinity, tokens, maxTokens: k });
      const mass = toRows(plan, tokens, experts).map((row, t) => row.map((share) => gamma * plan.rowSum[t] * share));
      // α_t + β_e + A_te of two tokens and two experts: the potentials cancel.
      const crossing = (matrix: Matrix, t: number, u: number, e: number, f: number) =>
        matrix[t][e] + matrix[u][f] - matrix[t][f] - matrix[u][e];
      const at = toMatrix(affinity, tokens, experts);
      let compared = 0;
      for (let t = 0; t < tokens; t++) {
        for (let u = 0; u < t; u++) {
          for (let e = 0; e < experts; e++) {
            for (let f = 0; f < e; f++) {
              if (Math.min(mass[t][e], mass[u][f], mass[t][f], mass[u][e]) <= 0) continue;
              expect(Math.abs(crossing(mass, t, u, e, f) - crossing(at, t, u, e, f))).toBeLessThan(1e-12);
              compared += 1;
            }
          }
        }
      }
      expect(compared).toBeGreaterThan(10);
      expect(plan.rowSum.some((sum) => Math.abs(sum - 1) > 0.01)).toBe(steps === 1);
    },
  );

  it("is permuted with the experts, and its dual value is not changed by that", () => {
    const cases = fc.record({
      experts: fc.integer({ min: 2, max: 5 }),
      perExpert: fc.integer({ min: 2, max: 6 }),
      factor: fc.constantFrom(1, 2),
      seed: fc.nat(1000),
      shift: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(cases, ({ experts, perExpert, factor, seed, shift }) => {
        const [tokens, k, gamma] = [experts * perExpert, factor * perExpert, 0.5];
        const affinity = randomLogits(`permuted ${seed}`, tokens, experts);
        const order = Array.from({ length: experts }, (_, e) => (e + shift) % experts);
        const shuffled = affinity.map((_, n) => affinity[n - (n % experts) + order[n % experts]]);
        const [{ dual }, permuted] = [affinity, shuffled].map((costs) =>
          solve(costs, experts, k, { formulation, gamma }),
        );
        // Other sums are rounded otherwise, and on a function with kinks that leads L-BFGS another way up: both end
        // within a hundredth per token of the same value.
        expect(Math.abs(permuted.dual - dual)).toBeLessThan(0.01 * tokens);
        // Without a step the values are the same but for the rounding of sums of some 60 numbers below 10.
        const [start, permutedStart] = [affinity, shuffled].map((costs) =>
          solve(costs, experts, k, { formulation, gamma, maxIterations: 0 }),
        );
        expect(Math.abs(permutedStart.dual - start.dual)).toBeLessThan(1e-11);
      }),
      { seed: 3, numRuns: 40 },
    );
    const [tokens, experts, k] = [24, 4, 12];
    const affinity = randomLogits("permuted", tokens, experts);
    const order = [2, 0, 3, 1];
    const { plan } = solve(affinity, experts, k, { formulation, gamma: 0.5 });
    const permuted = solve(
      affinity.map((_, n) => affinity[n - (n % experts) + order[n % experts]]),
      experts,
      k,
      { formulation, gamma: 0.5 },
    );
    const expected = plan.map((row) => order.map((e) => row[e]));
    // Both plans are within 1e-5 of their marginals; see above for what that means for masses.
    expect(largestDifference(permuted.plan, expected)).toBeLessThan(1e-4);
  });

  it("does not notice a constant added to a token's costs, but in the dual value, which moves by it", () => {
    const cases = fc.record({
      tokens: fc.integer({ min: 2, max: 24 }),
      experts: fc.integer({ min: 2, max: 5 }),
      extra: fc.nat(6),
      seed: fc.nat(1000),
      constants: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 24, maxLength: 24 }),
    });
    fc.assert(
      fc.property(cases, ({ tokens, experts, extra, seed, constants }) => {
        const k = Math.ceil(tokens / experts) + extra;
        // Multiples of 1/4096, so that whole numbers are added exactly.
        const affinity = randomLogits(`${seed}`, tokens, experts).map((value) => Math.round(4096 * value) / 4096);
        const shifted = affinity.map((value, n) => value + constants[Math.floor(n / experts)]);
        const [before, after] = [affinity, shifted].map((costs) =>
          solve(costs, experts, k, { formulation, gamma: 0.5 }),
        );
        expect(after.plan).toEqual(before.plan);
        const total = constants.slice(0, tokens).reduce((sum, constant) => sum + constant, 0);
        // Sums of some 150 numbers below 20.
        expect(Math.abs(after.dual - (before.dual - total))).toBeLessThan(1e-10);
      }),
      { seed: 4, numRuns: 40 },
    );
  });

  it("solves shorter problems with the same buffers, and logits of 1e4 without overflow", () => {
    const solver = createSparsityConstrainedSolver(kernels, 24, 4, 12, { ...defaults, formulation });
    solver.solve({ affinity: sines(24, 4, 0), tokens: 24, maxTokens: 12 });
    const { plan, primal } = solver.solve({ affinity: sines(8, 4, 1), tokens: 8, maxTokens: 4 });
    const fresh = solve(sines(8, 4, 1), 4, 4, { formulation });
    expect(toRows(plan, 8, 4)).toEqual(fresh.plan);
    expect(primal).toBe(fresh.primal);
    const extreme = solve(
      sines(24, 4, 0).map((value) => 2e4 * (value - 0.5)),
      4,
      12,
      { formulation },
    );
    expect(extreme.plan.flat().every(Number.isFinite)).toBe(true);
    expect(Number.isFinite(extreme.dualityGap)).toBe(true);
  });
});

describe("a limit that leaves no room", () => {
  it("ends the climb early, with a plan that meets its marginals", () => {
    const [tokens, experts, k] = [256, 16, 32];
    const affinity = randomLogits("no room", tokens, experts).map((value) => 0.2 * value);
    const { iterations, converged, maxColumnCardinality, dualityGap } = solve(affinity, experts, k);
    expect(iterations).toBeLessThanOrEqual(40);
    expect(converged).toBe(true);
    expect(maxColumnCardinality).toBe(k);
    // Affinities have a deviation of 0.2 here, and the bound is within a hundredth of that per token.
    expect(dualityGap).toBeGreaterThan(0);
    expect(dualityGap).toBeLessThan(0.002 * tokens);
    // A token of room in each column, and the climb is a long one.
    expect(solve(affinity, experts, k + 1).iterations).toBeGreaterThan(iterations);
  });

  it("proves the plan of one expert a token to be the best, from the prices of the assignment", () => {
    const [tokens, experts] = [256, 16];
    const affinity = randomLogits("no room", tokens, experts).map((value) => 0.2 * value);
    const { converged, dualityGap, iterations, polishIterations } = solve(affinity, experts, tokens / experts);
    expect(converged).toBe(true);
    expect(Math.abs(dualityGap)).toBeLessThan(1e-6);
    expect(iterations).toBe(polishIterations);
  });

  it("does not end the climb of a plan that the limit hardly touches", () => {
    const [tokens, experts, k] = [256, 16, 32];
    const affinity = randomLogits("no room", tokens, experts);
    const tight = solve(affinity, experts, k, { gamma: 0.01 });
    const free = solve(affinity, experts, tokens, { gamma: 0.01 });
    expect(tight.converged).toBe(true);
    expect(tight.polishIterations).toBe(0);
    // Both plans meet their marginals to 1e-5, at potentials below 10.
    expect(Math.abs(tight.primal - free.primal)).toBeLessThan(1e-4 * tokens);
  });
});

describe("a support that cannot carry the plan", () => {
  it("is reported as missed: three columns of 5/3 cannot be filled by 2 entries each from 5 rows", () => {
    const { converged, marginalError, maxColumnCardinality } = solve(sines(5, 3, 0), 3, 2);
    expect(converged).toBe(false);
    expect(marginalError).toBeGreaterThan(0.01);
    expect(maxColumnCardinality).toBeLessThanOrEqual(2);
  });
});
