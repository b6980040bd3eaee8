import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { softmax, toMatrix } from "../../support/plain.ts";
import { float32, float64, logitFamilies, normals, oddShapes, worstRelativeError } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();
const both = { reference, wasm };

interface Problem {
  readonly logits: number[];
  readonly epsilon: number;
  readonly potential: number[];
  readonly tokens: number;
}

function hessianOf(kernels: Kernels, { logits, epsilon, potential, tokens }: Problem, threshold: number): Float64Array {
  const experts = potential.length;
  const arrays = [float32(kernels, logits), epsilon, float64(kernels, potential)] as const;
  const rowLogSum = kernels.allocateFloat64(tokens);
  kernels.logSinkhornSweep(...arrays, tokens, experts, rowLogSum, kernels.allocateFloat64(experts));
  // Whatever was there before is overwritten.
  const hessian = kernels.allocateFloat64(experts * experts).fill(7);
  kernels.entropicHessian(...arrays, rowLogSum, threshold, tokens, experts, hessian);
  return hessian;
}

/** Σ_t diag(p̃) − p̃·p̃ᵀ/σ by its formula, with the entries of at least `threshold`. */
function plainHessian({ logits, epsilon, potential, tokens }: Problem, threshold: number): number[] {
  const experts = potential.length;
  const hessian = new Array<number>(experts * experts).fill(0);
  for (const row of toMatrix(logits, tokens, experts)) {
    const kept = softmax(row.map((z, e) => z / epsilon + potential[e])).map((p) => (p >= threshold ? p : 0));
    const sum = kept.reduce((a, b) => a + b);
    for (let i = 0; i < experts; i++) {
      hessian[i * experts + i] += kept[i];
      for (let j = 0; j < experts; j++) hessian[i * experts + j] -= (kept[i] * kept[j]) / Math.max(sum, 1e-300);
    }
  }
  return hessian;
}

const normalProblem = (tokens: number, experts: number, epsilon: number): Problem => ({
  logits: normals(tokens + experts, tokens * experts),
  epsilon,
  potential: normals(experts, experts),
  tokens,
});

for (const [backend, kernels] of Object.entries(both)) {
  describe(`the entropic Hessian of the ${backend} kernels`, () => {
    it("is diag(Pᵀ1) − PᵀP with a threshold of 0", () => {
      const problem = normalProblem(9, 5, 0.7);
      const expected = plainHessian(problem, 0);
      hessianOf(kernels, problem, 0).forEach((value, entry) => {
        // Sums of 9 products of numbers up to 1, each rounded a few times.
        expect(Math.abs(value - expected[entry])).toBeLessThan(1e-14);
      });
    });

    it("is made of the entries above the threshold alone, few or many of them", () => {
      for (const [epsilon, threshold] of [
        [0.3, 0.02],
        [1, 0.02],
        [5, 0.02],
        [0.3, 0.3],
      ]) {
        const problem = normalProblem(30, 12, epsilon);
        const expected = plainHessian(problem, threshold);
        hessianOf(kernels, problem, threshold).forEach((value, entry) => {
          expect(Math.abs(value - expected[entry])).toBeLessThan(1e-13);
        });
      }
    });

    it("is p(1 − p) for two experts, to full precision where p is close to 1", () => {
      const problem = { logits: [40, 0], epsilon: 1, potential: [0, 0], tokens: 1 };
      const p = 1 / (1 + Math.exp(40));
      const expected = [p * (1 - p), -p * (1 - p), -p * (1 - p), p * (1 - p)];
      expect(worstRelativeError(hessianOf(kernels, problem, 0), expected)).toBeLessThan(1e-14);
    });

    it("is symmetric, positive semi-definite and has rows that sum to 0, whatever is left out", () => {
      const experts = 13;
      for (const threshold of [0, 1e-3, 0.05, 0.2]) {
        const hessian = hessianOf(kernels, normalProblem(21, experts, 0.8), threshold);
        const rows = toMatrix(hessian, experts, experts);
        rows.forEach((row, i) => {
          expect(Math.abs(row.reduce((a, b) => a + b))).toBeLessThan(1e-14);
          row.forEach((value, j) => {
            expect(value).toBe(rows[j][i]);
            // A Laplacian: with no positive entry off the diagonal, it is positive semi-definite.
            if (i !== j) expect(value).toBeLessThanOrEqual(0);
          });
        });
      }
    });

    it("is 0 where every row keeps one entry or none", () => {
      const problem = normalProblem(8, 6, 1);
      expect(hessianOf(kernels, problem, 1.1).every((value) => value === 0)).toBe(true);
      const sure = { logits: [1e4, -1e4, 0, -1e4, 1e4, 0], epsilon: 1e-3, potential: [0, 0, 0], tokens: 2 };
      expect(hessianOf(kernels, sure, 0).every((value) => value === 0)).toBe(true);
    });
  });
}

describe("the entropic Hessian of WebAssembly against the reference", () => {
  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`agrees over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of oddShapes) {
        const logits = make(tokens, experts);
        const largest = Math.max(...logits.map(Math.abs));
        for (const epsilon of [1, 0.1, 7]) {
          // An exponent is rounded to float64 on both sides, by a part of its size that is an error of the plan's entry.
          const exponentError = (8 * largest) / epsilon / 2 ** 53;
          if (exponentError > 1e-3) continue;
          const problem = { logits, epsilon, potential: normals(experts, experts, 3), tokens };
          // An odd number, which no entry of these plans equals up to rounding.
          for (const threshold of [0, 0.0123 / experts]) {
            const actual = hessianOf(wasm, problem, threshold);
            const expected = hessianOf(reference, problem, threshold);
            // The exponentials' error of 1e-15 and up to 200 roundings of a sum.
            expect(worstRelativeError(actual, expected, 1e-290)).toBeLessThan(3e-14 + 3 * exponentError);
            expect(actual.every(Number.isFinite)).toBe(true);
          }
        }
      }
    });
  }
});
