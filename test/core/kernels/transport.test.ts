import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { countLoad, largestIndices, toMatrix } from "../../support/plain.ts";
import { float32, float64, logitFamilies, normals, oddShapes, worstRelativeError } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();
const both = { reference, wasm };
const smallestNormal = 2 ** -126;
const epsilons = [1, 0.1, 7, 1e-3];

function gibbsOf(kernels: Kernels, logits: number[], epsilon: number, tokens: number, experts: number) {
  const out = kernels.allocateFloat32(tokens * experts);
  const columnSum = kernels.allocateFloat64(experts);
  const range = kernels.gibbsSweep(float32(kernels, logits), epsilon, tokens, experts, out, columnSum);
  return { out, range, columnSum };
}

function sweepOf(kernels: Kernels, gibbs: number[], scaling: number[], tokens: number, experts: number): Float64Array {
  const columnSum = kernels.allocateFloat64(experts);
  kernels.sinkhornSweep(float32(kernels, gibbs), float32(kernels, scaling), tokens, experts, columnSum);
  return columnSum;
}

function chosenByPlan(
  kernels: Kernels,
  logits: number[],
  potential: number[],
  epsilon: number,
  tokens: number,
  experts: number,
  topK: number,
) {
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts);
  const gate = kernels.allocateFloat32(tokens * topK);
  const arrays = [float32(kernels, logits), float64(kernels, potential)] as const;
  kernels.selectByPlan(...arrays, epsilon, tokens, experts, topK, expert, load, gate);
  return { expert, load, gate };
}

function logSweepOf(
  kernels: Kernels,
  logits: number[],
  epsilon: number,
  potential: number[],
  tokens: number,
  experts: number,
) {
  const rowLogSum = kernels.allocateFloat64(tokens);
  const logColumnSum = kernels.allocateFloat64(experts);
  const potentials = float64(kernels, potential);
  kernels.logSinkhornSweep(float32(kernels, logits), epsilon, potentials, tokens, experts, rowLogSum, logColumnSum);
  return { rowLogSum, logColumnSum };
}

function planOf(
  kernels: Kernels,
  logits: number[],
  potential: number[],
  epsilon: number,
  tokens: number,
  experts: number,
): Float32Array {
  const out = kernels.allocateFloat32(tokens * experts);
  kernels.entropicPlan(float32(kernels, logits), float64(kernels, potential), epsilon, tokens, experts, out);
  return out;
}

for (const [backend, kernels] of Object.entries(both)) {
  describe(`the transport kernels of ${backend}`, () => {
    it("have Gibbs rows with the largest entry 1, and report their range", () => {
      const { out, range } = gibbsOf(kernels, [0, 1, 3, 5, 5, 4], 0.5, 2, 3);
      // 2.5e-7 of the exponential and 1.3e-7·6 of its exponent, where the difference to the largest is exact.
      expect(worstRelativeError(out, [Math.exp(-6), Math.exp(-4), 1, 1, 1, Math.exp(-2)])).toBeLessThan(1.03e-6);
      expect(worstRelativeError([range], [6])).toBeLessThan(2e-7);
    });

    it("sweep a Gibbs kernel once as they write it", () => {
      for (const [tokens, experts] of [
        [21, 10],
        [64, 8],
        [5, 3],
        [133, 37],
      ]) {
        const { out, columnSum } = gibbsOf(kernels, normals(1, tokens * experts), 1, tokens, experts);
        const expected = sweepOf(kernels, Array.from(out), new Array(experts).fill(1), tokens, experts);
        // A row is summed in float32 both times, at most experts / 4 + 4 terms after each other, but in another order.
        expect(worstRelativeError(columnSum, expected)).toBeLessThan((experts / 4 + 4) * 2 ** -23);
      }
    });

    it("make rows exact: the column sums of a sweep add up to the tokens", () => {
      const { out } = gibbsOf(kernels, normals(1, 21 * 10), 1, 21, 10);
      const columnSum = sweepOf(kernels, Array.from(out), normals(2, 10).map(Math.exp), 21, 10);
      expect(columnSum.reduce((a, b) => a + b)).toBeCloseTo(21, 5);
    });

    it("sweep a matrix of ones into columns that share as their scalings do", () => {
      const columnSum = sweepOf(kernels, new Array(9 * 3).fill(1), [1, 2, 5], 9, 3);
      expect(worstRelativeError(columnSum, [9 / 8, 18 / 8, 45 / 8])).toBeLessThan(3e-7);
    });

    it("find the logarithms of column sums that no exponential can hold", () => {
      // Every token is sure of expert 0; expert 1 is 2e7 below in units of epsilon.
      const { rowLogSum, logColumnSum } = logSweepOf(kernels, [1e4, -1e4, 1e4, -1e4], 1e-3, [0, 0], 2, 2);
      expect(Array.from(rowLogSum)).toEqual([1e7, 1e7]);
      expect(worstRelativeError(logColumnSum, [Math.log(2), -2e7 + Math.log(2)])).toBeLessThan(1e-15);
    });

    it("write plans whose rows sum to 1", () => {
      const plan = planOf(kernels, normals(3, 8 * 33, 5), normals(4, 33), 0.3, 8, 33);
      for (let t = 0; t < 8; t++) {
        // 33 roundings to float32 of at most 2^−24 each.
        expect(Math.abs(plan.slice(t * 33, (t + 1) * 33).reduce((a, b) => a + b, 0) - 1)).toBeLessThan(33 * 2 ** -24);
      }
    });

    it.each([0.5, 1, 7])("select by a plan at ε = %d, and gate by its row over the selected experts", (epsilon) => {
      const [tokens, experts, topK] = [30, 21, 5];
      const [logits, potential] = [normals(5, tokens * experts), normals(6, experts)];
      const { expert, load, gate } = chosenByPlan(kernels, logits, potential, epsilon, tokens, experts, topK);
      const rows = toMatrix(planOf(kernels, logits, potential, epsilon, tokens, experts), tokens, experts);
      const chosen = rows.map((row) => largestIndices(row, topK));
      expect(toMatrix(expert, tokens, topK)).toEqual(chosen);
      expect(Array.from(load)).toEqual(countLoad(chosen, experts));
      const expected = chosen.flatMap((own, token) => {
        const weights = own.map((e) => rows[token][e]);
        return weights.map((weight) => weight / weights.reduce((a, b) => a + b));
      });
      expect(worstRelativeError(gate, expected)).toBeLessThan(5e-7);
    });

    it("select by and gate by entries that underflow in the plan itself", () => {
      const even = chosenByPlan(kernels, [0, 0, -2000, -2001], [-9000, -2000, 0, 0], 1, 1, 4, 2);
      expect(Array.from(even.expert)).toEqual([1, 2]);
      expect(Array.from(even.gate)).toEqual([0.5, 0.5]);
      const uneven = chosenByPlan(kernels, [0, -3000, -2000, -4000], [0, 0, 0, 0], 1, 1, 4, 2);
      expect(Array.from(uneven.expert)).toEqual([0, 2]);
      expect(Array.from(uneven.load)).toEqual([1, 0, 1, 0]);
      expect(Array.from(uneven.gate)).toEqual([1, 0]);
    });
  });
}

describe("the transport kernels of WebAssembly against the reference", () => {
  it("have Gibbs entries as exact as three roundings of the exponent leave them", () => {
    const [tokens, experts, epsilon] = [40, 129, 11.3];
    const logits = normals(12, tokens * experts, 3 * epsilon);
    const actual = gibbsOf(wasm, logits, epsilon, tokens, experts);
    const expected = gibbsOf(reference, logits, epsilon, tokens, experts);
    expect(expected.range).toBeGreaterThan(15);
    const beyond = Array.from(actual.out, (entry, i) => {
      const exponent = -Math.log(expected.out[i]);
      // Of 1/(ε·ln 2), of the difference to the largest and of their product, at most 2^−24 each.
      return Math.abs(entry / expected.out[i] - 1) / (2.5e-7 + 3 * 2 ** -24 * exponent);
    });
    expect(Math.max(...beyond)).toBeLessThan(1);
  });

  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`agree over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of oddShapes) {
        const logits = make(tokens, experts);
        const potential = normals(experts, experts, 3);
        for (const epsilon of epsilons) {
          const actual = gibbsOf(wasm, logits, epsilon, tokens, experts);
          const expected = gibbsOf(reference, logits, epsilon, tokens, experts);
          if (expected.range > 80) {
            expect(actual.range).toBeGreaterThan(80);
          } else {
            expect(worstRelativeError([actual.range], [expected.range])).toBeLessThan(3e-7);
            // See `Kernels.gibbsSweep`, and 6e-8 for the reference's own rounding to float32.
            const tolerance = 3.1e-7 + 1.3e-7 * expected.range;
            expect(worstRelativeError(actual.out, expected.out)).toBeLessThan(tolerance);
            expect(actual.out.every((entry) => entry > 0 && entry <= 1)).toBe(true);
            // Each factor of a column's sum has that error or none, and 1e-6 is the sweep's.
            expect(worstRelativeError(actual.columnSum, expected.columnSum)).toBeLessThan(2 * tolerance + 1e-6);
          }

          // An exponent z/epsilon + g is rounded to float64, on both sides: a relative 2^−53 of a size that is up to the
          // largest |z|/epsilon is an absolute error, and so a relative one of the exponential.
          const exponentError = (4 * Math.max(...logits.map(Math.abs))) / epsilon / 2 ** 53;
          if (exponentError > 1e-3) continue;
          expect(
            worstRelativeError(
              planOf(wasm, logits, potential, epsilon, tokens, experts),
              planOf(reference, logits, potential, epsilon, tokens, experts),
              smallestNormal,
            ),
          ).toBeLessThan(5e-7 + 2 * exponentError);

          const logActual = logSweepOf(wasm, logits, epsilon, potential, tokens, experts);
          const logExpected = logSweepOf(reference, logits, epsilon, potential, tokens, experts);
          for (let t = 0; t < tokens; t++) {
            expect(Math.abs(logActual.rowLogSum[t] - logExpected.rowLogSum[t])).toBeLessThan(1e-13 + exponentError);
          }
          for (let e = 0; e < experts; e++) {
            const difference = Math.abs(logActual.logColumnSum[e] - logExpected.logColumnSum[e]);
            expect(difference).toBeLessThan(1e-13 + 3 * exponentError);
          }
        }
      }
    });
  }

  it("agree on sweeps over odd sizes and over many blocks of rows", () => {
    for (const { tokens, experts } of [...oddShapes, { tokens: 203, experts: 21 }, { tokens: 128, experts: 16 }]) {
      const gibbs = Array.from(gibbsOf(reference, normals(9, tokens * experts, 3), 1, tokens, experts).out);
      const scaling = normals(10, experts, 3).map((x) => Math.fround(Math.exp(x)));
      // Float32 sums of experts/4 products a lane.
      expect(
        worstRelativeError(
          sweepOf(wasm, gibbs, scaling, tokens, experts),
          sweepOf(reference, gibbs, scaling, tokens, experts),
        ),
      ).toBeLessThan(1e-6);
    }
  });

  it("agree where the scalings make up for the range of the kernel", () => {
    const [tokens, experts] = [50, 12];
    // Column e is e^(−3e), its scaling e^(+3e): every product is 1.
    const gibbs = Array.from({ length: tokens * experts }, (_, i) => Math.exp(-3 * (i % experts)));
    const scaling = Array.from({ length: experts }, (_, e) => Math.exp(3 * e));
    expect(
      worstRelativeError(sweepOf(wasm, gibbs, scaling, tokens, experts), new Array(experts).fill(tokens / experts)),
    ).toBeLessThan(1e-6);
  });
});
