import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { backends } from "../../support/backends.ts";
import { float64, normals, worstRelativeError } from "./matrices.ts";

const [reference, wasm] = backends;
const none = Number.NEGATIVE_INFINITY;

interface Problem {
  readonly scores: number[];
  readonly price: number[];
  readonly topK: number;
  readonly width: number;
  readonly floor: number;
  /** One for all tokens. */
  readonly guess?: number;
}

function solve(kernels: Kernels, { scores, price, topK, width, floor, guess = Number.NaN }: Problem) {
  const experts = price.length;
  const tokens = scores.length / experts;
  const threshold = kernels.allocateFloat64(tokens).fill(guess);
  const mass = kernels.allocateFloat64(experts);
  const curvature = kernels.allocateFloat64(experts * experts);
  const value = kernels.relaxedTopK(
    float64(kernels, scores),
    float64(kernels, price),
    width,
    floor,
    tokens,
    experts,
    topK,
    threshold,
    mass,
    width === 0 ? null : curvature,
  );
  return { value, threshold: Array.from(threshold), mass: Array.from(mass), curvature: Array.from(curvature) };
}

/** Rows of v = scores − price. */
function valuesOf({ scores, price }: Problem): number[][] {
  const experts = price.length;
  return Array.from({ length: scores.length / experts }, (_, t) =>
    price.map((cost, e) => scores[t * experts + e] - cost),
  );
}

/** The maximum, by its definition, at the x that belongs to given thresholds; and those x. */
function primal(problem: Problem, threshold: number[]) {
  const { width } = problem;
  const x = valuesOf(problem).map((row, t) =>
    row.map((v) => Math.min(1, Math.max(0, (v - threshold[t]) / width + 0.5))),
  );
  const value = valuesOf(problem)
    .flatMap((row, t) => row.map((v, e) => x[t][e] * v + (width / 2) * x[t][e] * (1 - x[t][e])))
    .reduce((a, b) => a + b, 0);
  return { x, value };
}

function sumOfLargest({ topK, floor, ...problem }: Problem): number {
  return valuesOf({ topK, floor, ...problem })
    .flatMap((row) => [...row].sort((a, b) => b - a).slice(0, topK))
    .reduce((sum, v) => sum + Math.max(v, floor), 0);
}

const problems = fc
  .record({ experts: fc.integer({ min: 1, max: 70 }), tokens: fc.integer({ min: 1, max: 6 }), seed: fc.nat(10_000) })
  .chain(({ experts, tokens, seed }) =>
    fc.record({
      // Quarters make ties among values and with the corners v ± width/2.
      scores: fc.constantFrom(
        normals(seed, tokens * experts),
        normals(seed, tokens * experts).map((z) => Math.round(z * 4) / 4),
        normals(seed, tokens * experts).map((z) => 1 + 1e-6 * z),
      ),
      price: fc.constantFrom(
        normals(seed + 1, experts, 0.3),
        new Array<number>(experts).fill(0),
        normals(seed + 2, experts, 0.3).map((z) => Math.round(z * 4) / 4),
      ),
      topK: fc.oneof(fc.integer({ min: 1, max: experts }), fc.constant(experts)),
      width: fc.constantFrom(1e-9, 1e-3, 0.1, 0.5, 4),
      floor: fc.constantFrom(0, none),
      guess: fc.constantFrom(Number.NaN, 0, -1, 1, 2.5, -100, 100),
    }),
  );

describe.each(backends)("the relaxed top-k of the $backend kernels", (kernels) => {
  it("is the closed form of two experts", () => {
    // v = (1, 0.5), width 2: τ = 0.75, x = (0.625, 0.375), maximum 0.8125 + 2·0.625·0.375.
    const problem = { scores: [1.5, 1], price: [0.5, 0.5], topK: 1, width: 2, floor: none };
    const { value, threshold, mass, curvature } = solve(kernels, problem);
    expect(threshold[0]).toBeCloseTo(0.75, 14);
    expect(mass[0]).toBeCloseTo(0.625, 14);
    expect(mass[1]).toBeCloseTo(0.375, 14);
    expect(value).toBeCloseTo(0.8125 + 2 * 0.625 * 0.375, 14);
    expect(curvature).toEqual([0.25, -0.25, -0.25, 0.25]);
  });

  it("stops at a floor of 0 where not enough is worth more", () => {
    // At τ = 0 x = (1, 0.75, 0.25): two experts' worth of three.
    const { value, threshold, mass, curvature } = solve(kernels, {
      scores: [3, 0.25, -0.25],
      price: [0, 0, 0],
      topK: 3,
      width: 1,
      floor: 0,
    });
    expect(threshold).toEqual([0]);
    expect(mass).toEqual([1, 0.75, 0.25]);
    expect(value).toBeCloseTo(3 + 0.75 * 0.25 - 0.25 * 0.25 + 0.75 * 0.25, 14);
    expect(curvature).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 1]);
  });

  it("takes every expert when there are no more than topK, without a floor", () => {
    const scores = normals(3, 4 * 5);
    for (const width of [0, 0.5]) {
      const { value, mass, curvature } = solve(kernels, {
        scores,
        price: [0, 0, 0, 0, 0],
        topK: 5,
        width,
        floor: none,
      });
      expect(mass).toEqual([4, 4, 4, 4, 4]);
      expect(value).toBeCloseTo(
        scores.reduce((a, b) => a + b),
        13,
      );
      expect(curvature.every((entry) => entry === 0)).toBe(true);
    }
  });

  it("has the sum of the topK largest, ties to the lower expert, at width 0", () => {
    const problem = { scores: [2, 3, 1, 2, 2], price: [0, 0, 0, 0, 0], topK: 3, width: 0, floor: none };
    expect(solve(kernels, problem)).toMatchObject({ value: 7, threshold: [2], mass: [1, 1, 0, 1, 0] });
    expect(solve(kernels, { ...problem, scores: [-1, 3, 0, -2, 0.5], floor: 0 })).toMatchObject({
      value: 3.5,
      threshold: [0],
      mass: [0, 1, 0, 0, 1],
    });
  });

  it("adds to the masses and the curvature it is given", () => {
    const [scores, price] = [float64(kernels, [1.5, 1]), float64(kernels, [0.5, 0.5])];
    const mass = float64(kernels, [10, 20]);
    const curvature = float64(kernels, [1, 2, 3, 4]);
    kernels.relaxedTopK(scores, price, 2, none, 1, 2, 1, kernels.allocateFloat64(1), mass, curvature);
    expect(Array.from(mass)).toEqual([10.625, 20.375]);
    expect(Array.from(curvature)).toEqual([1.25, 1.75, 2.75, 4.25]);
  });

  it("satisfies the conditions that make x the maximum, for any guess", () => {
    fc.assert(
      fc.property(problems, (problem) => {
        const { topK, width, floor } = problem;
        const { value, threshold, mass } = solve(kernels, problem);
        const { x, value: expected } = primal(problem, threshold);
        // (v − τ)/width loses what the rounding of v, up to 5, is to the width.
        const rounding = 1e-13 + (5e-15 / width) * problem.price.length;
        x.forEach((row, t) => {
          const sum = row.reduce((a, b) => a + b);
          expect(sum).toBeLessThan(topK + rounding);
          if (threshold[t] > floor) expect(sum).toBeGreaterThan(topK - rounding);
          else expect(threshold[t]).toBe(floor);
        });
        mass.forEach((m, e) => {
          const column = x.reduce((sum, row) => sum + row[e], 0);
          expect(Math.abs(m - column)).toBeLessThan(rounding);
        });
        expect(Math.abs(value - expected)).toBeLessThan(1e-11 + 10 * rounding);
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  it("is above the sum of the topK largest by at most width/8 for each expert, and is that sum at width 0", () => {
    fc.assert(
      fc.property(problems, (problem) => {
        const { width, scores, floor } = problem;
        const plain = sumOfLargest({ ...problem, floor });
        const { value } = solve(kernels, problem);
        expect(value).toBeGreaterThan(plain - 1e-11);
        expect(value).toBeLessThan(plain + (width / 8) * scores.length + 1e-11);
        expect(Math.abs(solve(kernels, { ...problem, width: 0 }).value - plain)).toBeLessThan(1e-12 * scores.length);
      }),
      { seed: 12, numRuns: 200 },
    );
  });

  it("has minus the masses as gradient and the curvature as their slope", () => {
    const [tokens, experts, step] = [9, 12, 1e-6];
    const price = normals(6, experts, 0.2);
    for (const floor of [0, none]) {
      const problem = { scores: normals(5, tokens * experts), price, topK: 3, width: 0.7, floor };
      const { curvature, mass } = solve(kernels, problem);
      for (let e = 0; e < experts; e++) {
        const [up, down] = [step, -step].map((by) =>
          solve(kernels, { ...problem, price: price.map((p, j) => (j === e ? p + by : p)) }),
        );
        // Central differences of numbers of size 30: rounding / step, and the corners that lie within a step of τ.
        expect(Math.abs((up.value - down.value) / (2 * step) + mass[e])).toBeLessThan(1e-5);
        for (let j = 0; j < experts; j++) {
          expect(Math.abs((down.mass[j] - up.mass[j]) / (2 * step) - curvature[e * experts + j])).toBeLessThan(1e-5);
        }
      }
    }
  });
});

describe("the relaxed top-k of the WebAssembly kernels against the reference", () => {
  it.each([
    { tokens: 7, experts: 256, topK: 8 },
    { tokens: 5, experts: 67, topK: 20 },
    { tokens: 6, experts: 131, topK: 131 },
    { tokens: 9, experts: 1, topK: 1 },
  ])("agrees at $tokens × $experts, $topK of them, at any width", ({ tokens, experts, topK }) => {
    const scores = normals(tokens, tokens * experts).map((z) => Math.exp(z) / experts);
    const price = normals(experts, experts, 0.5 / experts).map(Math.abs);
    for (const width of [0, 1e-6, 1e-3, 0.05, 1]) {
      for (const floor of [0, none]) {
        for (const guess of [Number.NaN, 1 / experts]) {
          const [expected, actual] = [reference, wasm].map((kernels) =>
            solve(kernels, { scores, price, topK, width, floor, guess }),
          );
          // Values of size 1/experts to 0.1 are rounded to 1e-17, which the width 1e-6 magnifies.
          expect(worstRelativeError(actual.mass, expected.mass, 1)).toBeLessThan(1e-9);
          expect(worstRelativeError([actual.value], [expected.value])).toBeLessThan(1e-13);
          expect(worstRelativeError(actual.curvature, expected.curvature, 1)).toBeLessThan(1e-9);
        }
      }
    }
  });
});
