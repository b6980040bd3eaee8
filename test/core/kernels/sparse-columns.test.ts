import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { backends } from "../../support/backends.ts";
import { float32, float64, normals } from "./matrices.ts";

const [reference, wasm] = backends;
const unknown = Number.NaN;

/** The columns at one α after another, each search beginning where the one before ended. */
function open(kernels: Kernels, cost: readonly number[], tokens: number, maxTokens: number, gamma: number) {
  const experts = cost.length / tokens;
  const costs = float64(kernels, cost);
  const near = kernels.allocateFloat64(2 * experts).fill(unknown);
  const count = kernels.allocateInt32(experts);
  const token = kernels.allocateInt32(experts * maxTokens);
  const mass = kernels.allocateFloat64(experts * maxTokens);
  const [slackSum, slackSquares] = [kernels.allocateFloat64(experts), kernels.allocateFloat64(experts)];
  return (alpha: readonly number[], prices: readonly number[] | null, columnMass: number | null, from = 0) => {
    const beta = float64(kernels, prices ?? new Array<number>(experts).fill(unknown));
    const rowSum = kernels.allocateFloat64(tokens).fill(from);
    const at = float64(kernels, alpha);
    kernels.sparseColumns(
      costs,
      at,
      beta,
      columnMass,
      gamma,
      tokens,
      experts,
      maxTokens,
      near,
      count,
      token,
      mass,
      slackSum,
      slackSquares,
      rowSum,
    );
    const columnOf = <T>(values: ArrayLike<T>, e: number) =>
      Array.from(values).slice(e * maxTokens, e * maxTokens + count[e]);
    return {
      beta: Array.from(beta),
      token: Array.from(count, (_, e) => columnOf(token, e)),
      mass: Array.from(count, (_, e) => columnOf(mass, e)),
      slackSum: Array.from(slackSum),
      slackSquares: Array.from(slackSquares),
      rowSum: Array.from(rowSum),
    };
  };
}

describe.each(backends)("the sparse columns of the $backend kernels", (kernels) => {
  it("are the closed form of one column at a given price", () => {
    // s = (1, 0.5, 2, −1), s + β = (1.5, 1, 2.5, −0.5).
    const solve = (k: number) => open(kernels, [0, 0.5, -1, 2], 4, k, 2)([1, 1, 1, 1], [0.5], null);
    expect(solve(2)).toEqual({
      beta: [0.5],
      token: [[0, 2]],
      mass: [[0.75, 1.25]],
      slackSum: [4],
      slackSquares: [8.5],
      rowSum: [0.75, 0, 1.25, 0],
    });
    // The constraint does not bind: the fourth has no mass at any k.
    expect(solve(4)).toMatchObject({ token: [[0, 1, 2]], mass: [[0.75, 0.5, 1.25]], slackSquares: [9.5] });
  });

  it("sum to the mass asked for at the price found", () => {
    // The two largest of s are 2 and 1: γ·b = 0.5 goes to the first alone, γ·b = 4 to both, at τ = (3 − 4)/2.
    const solve = (columnMass: number) => open(kernels, [0, 0.5, -1, 2], 4, 2, 2)([1, 1, 1, 1], null, columnMass);
    expect(solve(0.25)).toMatchObject({ beta: [-1.5], token: [[2]], mass: [[0.25]], slackSum: [0.5] });
    expect(solve(2)).toMatchObject({ beta: [0.5], token: [[0, 2]], mass: [[0.75, 1.25]], slackSum: [4] });
  });

  it("give ties to the lower token, and add to the row sums they are given", () => {
    const solve = open(kernels, [0, 0, 0, 0, -1], 5, 3, 1);
    expect(solve([0, 0, 0, 0, 0], [1], null, -1)).toMatchObject({
      token: [[0, 1, 4]],
      mass: [[1, 1, 2]],
      rowSum: [0, 0, -1, -1, 1],
    });
  });

  it("are empty where no value is above −β", () => {
    const { token, rowSum, slackSum } = open(kernels, [0, 0, 3, 3], 2, 1, 1)([0, 0], [0, 0], null);
    expect({ token, rowSum, slackSum }).toEqual({ token: [[], []], rowSum: [0, 0], slackSum: [0, 0] });
  });
});

describe("the sparse columns of the WebAssembly kernels", () => {
  it("are the reference's to the last bit, however the potentials have moved since the last call", () => {
    const cases = fc.record({
      // Columns of 512 tokens and more are sampled.
      tokens: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 505, max: 700 })),
      experts: fc.integer({ min: 1, max: 3 }),
      share: fc.double({ min: 0.001, max: 1, noNaN: true }),
      // Few different values make ties; small moves are near the last threshold, large ones are not.
      levels: fc.constantFrom(3, 1e9),
      reach: fc.constantFrom(0.001, 0.3, 10),
      gamma: fc.constantFrom(0.01, 1, 30),
      seed: fc.nat(1000),
    });
    fc.assert(
      fc.property(cases, ({ tokens, experts, share, levels, reach, gamma, seed }) => {
        const round = (value: number) => Math.round(levels * value) / levels;
        const k = Math.max(1, Math.floor(share * tokens));
        const cost = normals(seed, tokens * experts).map(round);
        const solvers = [reference, wasm].map((kernels) => open(kernels, cost, tokens, k, gamma));
        let alpha = new Array<number>(tokens).fill(0);
        for (let move = 0; move < 8; move++) {
          const steps = normals(seed + 7 * move + 1, tokens, reach);
          alpha = alpha.map((value, t) => value + round(steps[t]));
          const beta = normals(seed + move, experts).map(round);
          const columnMass = move % 3 === 2 ? tokens / experts : null;
          const [expected, actual] = solvers.map((solve) => solve(alpha, beta, columnMass));
          expect(actual).toEqual(expected);
        }
      }),
      { seed: 8, numRuns: 150 },
    );
  });

  it("are the same wherever the search for the largest begins", () => {
    const [tokens, experts, k] = [640, 2, 80];
    const cost = normals(3, tokens * experts);
    const alpha = normals(4, tokens);
    const expected = open(wasm, cost, tokens, k, 1)(alpha, [0.3, -0.2], null);
    for (const shift of [-100, -3, -0.1, 0.1, 3, 100]) {
      const solve = open(wasm, cost, tokens, k, 1);
      solve(
        alpha.map((value) => value + shift),
        [0.3, -0.2],
        null,
      );
      expect(solve(alpha, [0.3, -0.2], null)).toEqual(expected);
    }
  });
});

describe.each(backends)("the rows of the $backend kernels that sparse columns are made of", (kernels) => {
  const shapes = fc.record({
    tokens: fc.integer({ min: 1, max: 21 }),
    experts: fc.integer({ min: 1, max: 37 }),
    seed: fc.nat(1000),
  });

  it("become columns of costs, less each token's smallest", () => {
    fc.assert(
      fc.property(shapes, ({ tokens, experts, seed }) => {
        const values = normals(seed, tokens * experts, 3);
        const cost = kernels.allocateFloat64(tokens * experts);
        const largest = kernels.allocateFloat64(tokens);
        kernels.columnCosts(float32(kernels, values), tokens, experts, cost, largest);
        for (let t = 0; t < tokens; t++) {
          const row = values.slice(t * experts, (t + 1) * experts);
          expect(largest[t]).toBe(Math.max(...row));
          row.forEach((own, e) => {
            expect(cost[e * tokens + t]).toBe(largest[t] - own);
          });
        }
      }),
      { seed: 3, numRuns: 60 },
    );
  });

  it("have the mass asked for above their threshold", () => {
    const masses = fc.constantFrom(1e-6, 0.01, 1, 50);
    fc.assert(
      fc.property(shapes, masses, fc.boolean(), ({ tokens, experts, seed }, mass, isTied) => {
        const values = normals(seed, tokens * experts, 3).map((value) => (isTied ? Math.round(value) : value));
        const threshold = kernels.allocateFloat64(tokens);
        const shift = normals(seed + 1, tokens);
        const affinity = float32(kernels, values);
        kernels.rowThresholds(affinity, float64(kernels, shift), mass, tokens, experts, threshold);
        threshold.forEach((bound, t) => {
          const row = values.slice(t * experts, (t + 1) * experts).map((value) => value + shift[t]);
          const above = row.reduce((sum, value) => sum + Math.max(0, value - bound), 0);
          // Rounding of sums of up to 37 numbers below 60.
          expect(Math.abs(above - mass)).toBeLessThan(1e-12);
        });
      }),
      { seed: 4, numRuns: 120 },
    );
  });
});
