import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { backends } from "../../support/backends.ts";
import { disabledSome, float32, float64, logitFamilies, normals, oddShapes } from "./matrices.ts";

const [reference, wasm] = backends;
const none = Number.NEGATIVE_INFINITY;

interface Problem {
  readonly affinity: readonly number[];
  readonly potential: readonly number[];
  readonly gamma: number;
  readonly topK: number;
}

function solve(kernels: Kernels, { affinity, potential, gamma, topK }: Problem) {
  const experts = potential.length;
  const tokens = affinity.length / experts;
  const expert = kernels.allocateInt32(tokens * topK);
  const mass = kernels.allocateFloat64(tokens * topK);
  const columnSum = kernels.allocateFloat64(experts);
  const [own, prices] = [float32(kernels, affinity), float64(kernels, potential)];
  const value = kernels.sparseRows(own, prices, gamma, tokens, experts, topK, expert, mass, columnSum);
  return { value, expert: Array.from(expert), mass: Array.from(mass), columnSum: Array.from(columnSum) };
}

const quarter = (values: number[]) => values.map((value) => Math.round(4 * value) / 4);

const problems = fc
  .record({ experts: fc.integer({ min: 1, max: 70 }), tokens: fc.integer({ min: 1, max: 6 }), seed: fc.nat(10_000) })
  .chain(({ experts, tokens, seed }) =>
    fc.record({
      affinity: fc.constantFrom(
        normals(seed, tokens * experts),
        quarter(normals(seed, tokens * experts)),
        normals(seed, tokens * experts).map((z) => Math.fround(1 + 1e-6 * z)),
      ),
      potential: fc.constantFrom(
        normals(seed + 1, experts, 0.3),
        new Array<number>(experts).fill(0),
        quarter(normals(seed + 2, experts)),
        // Differences that float32 keys do not see.
        Array.from({ length: experts }, (_, e) => 1e-9 * ((7 * e) % experts)),
      ),
      gamma: fc.constantFrom(1e-3, 0.1, 1, 30),
      topK: fc.oneof(fc.integer({ min: 1, max: experts }), fc.constant(experts)),
    }),
  );

describe.each(backends)("the sparse rows of the $backend kernels", (kernels) => {
  it("are the closed form of three experts", () => {
    // v = (1, 0.5, −5): at γ = 2 τ = (1.5 − 2)/2 = −0.25, p = (0.625, 0.375).
    const problem = { affinity: [1.5, 0, -5], potential: [-0.5, 0.5, 0], gamma: 2, topK: 2 };
    const { value, ...rest } = solve(kernels, problem);
    expect(rest).toEqual({ expert: [0, 1], mass: [0.625, 0.375], columnSum: [0.625, 0.375, 0] });
    expect(value).toBeCloseTo(0.625 + 0.1875 - (0.625 ** 2 + 0.375 ** 2), 14);
    // At γ = 0.25 the first alone reaches 1; with K = 1 it always does.
    expect(solve(kernels, { ...problem, gamma: 0.25 })).toMatchObject({ expert: [0, 1], mass: [1, 0], value: 0.875 });
    expect(solve(kernels, { ...problem, topK: 1 })).toMatchObject({ expert: [0], mass: [1], value: 0 });
  });

  it("give ties to the lower expert, also those that the potential makes", () => {
    const tied = { affinity: [1, 3, 2, 2, 2, 0.5], potential: [0, 0, 0, 0, 0, 1.5], gamma: 100, topK: 3 };
    expect(solve(kernels, tied).expert).toEqual([1, 2, 3]);
    expect(solve(kernels, { ...tied, affinity: [2, 2, 2, 2, 2, 0.5] }).expert).toEqual([0, 1, 2]);
  });

  it("add to the column sums they are given", () => {
    const columnSum = float64(kernels, [10, 20]);
    const [expert, mass] = [kernels.allocateInt32(2), kernels.allocateFloat64(2)];
    kernels.sparseRows(float32(kernels, [0, 0]), float64(kernels, [0, 0]), 1, 1, 2, 2, expert, mass, columnSum);
    expect(Array.from(columnSum)).toEqual([10.5, 20.5]);
  });

  it("leave out disabled experts: −1 in slots that none is left for, nothing for a row without any", () => {
    const affinity = [none, none, none, 5, none, 1, none, 2, 0, none, none, none];
    const { value, expert, mass, columnSum } = solve(kernels, { affinity, potential: [0, 0, 0], gamma: 1, topK: 2 });
    expect(expert).toEqual([-1, -1, 0, 2, 1, 2, -1, -1]);
    expect(mass).toEqual([0, 0, 1, 0, 1, 0, 0, 0]);
    expect(columnSum).toEqual([1, 1, 0]);
    expect(value).toBe(5 - 0.5 + 2 - 0.5);
  });

  it("satisfy the conditions that make p the maximum", () => {
    fc.assert(
      fc.property(problems, (problem) => {
        const { affinity, potential, gamma, topK } = problem;
        const experts = potential.length;
        const { value, expert, mass, columnSum } = solve(kernels, problem);
        let expected = 0;
        const sums = potential.map(() => 0);
        for (let t = 0; t < affinity.length / experts; t++) {
          const v = potential.map((own, e) => affinity[t * experts + e] + own);
          const order = [...v.keys()].sort((a, b) => v[b] - v[a] || a - b).slice(0, topK);
          expect(expert.slice(t * topK, (t + 1) * topK)).toEqual(order);
          const p = mass.slice(t * topK, (t + 1) * topK);
          // Values below 10 are rounded to 1e-15, and γ·p are their differences.
          const rounding = 1e-14 + 1e-14 / gamma;
          expect(Math.abs(p.reduce((sum, own) => sum + own) - 1)).toBeLessThan(rounding);
          // One τ for all: v − γ·p where p > 0, and at least v elsewhere.
          const threshold = v[order[0]] - gamma * p[0];
          order.forEach((e, slot) => {
            expect(p[slot]).toBeGreaterThanOrEqual(0);
            if (p[slot] > 0)
              expect(Math.abs(v[e] - gamma * p[slot] - threshold)).toBeLessThan(gamma * rounding + 1e-14);
            else expect(v[e]).toBeLessThan(threshold + gamma * rounding + 1e-14);
            expected += v[e] * p[slot] - (gamma / 2) * p[slot] ** 2;
            sums[e] += p[slot];
          });
        }
        expect(Math.abs(value - expected)).toBeLessThan(1e-11);
        expect(columnSum).toEqual(sums);
      }),
      { seed: 21, numRuns: 300 },
    );
  });
});

describe("the sparse rows of the WebAssembly kernels", () => {
  it.each(Object.keys(logitFamilies))("are the reference's to the last bit, of logits that are %s", (family) => {
    for (const { tokens, experts } of oddShapes) {
      const rows = logitFamilies[family](tokens, experts);
      for (const affinity of [rows, disabledSome(rows, experts)]) {
        for (const potential of [
          new Array<number>(experts).fill(0),
          normals(experts, experts, 3),
          normals(9, experts, 1e30),
        ]) {
          for (const topK of new Set([1, Math.min(experts, 8), experts])) {
            const [expected, actual] = [reference, wasm].map((kernels) =>
              solve(kernels, { affinity, potential, gamma: 0.7, topK }),
            );
            expect(actual).toEqual(expected);
          }
        }
      }
    }
  });
});
