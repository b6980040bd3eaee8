import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { logScoreSlope } from "../../../src/core/kernels/reference/affinity.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { float32, int32, logitFamilies, normals, oddShapes } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();
type Kind = Parameters<Kernels["loadGradient"]>[1];
const entrywise = ["sigmoid", "sqrt-softplus"] as const;
const both = { reference, wasm };

function gradientOf(kernels: Kernels, logits: number[], load: number[], kind: Kind = "softmax"): number[] {
  const gradient = kernels.allocateFloat64(load.length).fill(9);
  const tokens = logits.length / load.length;
  kernels.loadGradient(float32(kernels, logits), kind, int32(kernels, load), tokens, load.length, gradient);
  return Array.from(gradient);
}

function softmax(row: number[]): number[] {
  const largest = row.reduce((a, b) => Math.max(a, b));
  const weight = row.map((z) => Math.exp(z - largest));
  const sum = weight.reduce((a, b) => a + b);
  return weight.map((w) => w / sum);
}

function rowsOf(logits: number[], experts: number): number[][] {
  return Array.from({ length: logits.length / experts }, (_, t) => logits.slice(t * experts, (t + 1) * experts));
}

/** Σ_t Σ_e load[e] · p_te with `offset` added to every row. */
function expectedLoad(logits: number[], load: number[], offset: number[]): number {
  return rowsOf(logits, load.length)
    .flatMap((row) => softmax(row.map((z, e) => z + offset[e])).map((p, e) => p * load[e]))
    .reduce((a, b) => a + b, 0);
}

for (const [backend, kernels] of Object.entries(both)) {
  describe(`the load gradient of the ${backend} kernels`, () => {
    it("is the slope of the expected load", () => {
      const [tokens, experts, step] = [7, 6, 1e-5];
      const logits = normals(1, tokens * experts, 2);
      const load = [5, 0, 3, 9, 1, 3];
      const slopes = load.map((_, j) => {
        const at = (by: number) =>
          expectedLoad(
            logits,
            load,
            load.map((__, e) => (e === j ? by : 0)),
          );
        return (at(step) - at(-step)) / (2 * step);
      });
      // Central differences are good to step² and to 2⁻⁵³ · 50 / step; the kernels' terms are float32 of up to 63.
      gradientOf(kernels, logits, load).forEach((value, j) => {
        expect(Math.abs(value - slopes[j])).toBeLessThan(1e-5);
      });
      expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(1);
    });

    it("is the closed form of two experts", () => {
      // p = (3/4, 1/4) and (1/2, 1/2): the gradient is ±(A_0 − A_1)·Σ p(1 − p).
      const [first, second] = gradientOf(kernels, [Math.log(3), 0, 5, 5], [3, 1]);
      expect(first).toBeCloseTo(2 * (3 / 16 + 1 / 4), 6);
      expect(second).toBeCloseTo(-first, 6);
    });

    it.each(entrywise)("is the slope of the expected load under shares of %s", (kind) => {
      const [tokens, experts, step] = [7, 6, 1e-5];
      const logits = normals(1, tokens * experts, 2);
      const load = [5, 0, 3, 9, 1, 3];
      const affinity = (z: number) =>
        kind === "sigmoid" ? 1 / (1 + Math.exp(-z)) : Math.sqrt(Math.log1p(Math.exp(z)));
      const loadAt = (own: number, by: number) =>
        rowsOf(logits, experts)
          .map((row) => row.map((z, e) => affinity(z + (e === own ? by : 0))))
          .map((row) => row.reduce((sum, s, e) => sum + s * load[e], 0) / row.reduce((sum, s) => sum + s, 0))
          .reduce((sum, expected) => sum + expected, 0);
      const slopes = load.map((_, j) => (loadAt(j, step) - loadAt(j, -step)) / (2 * step));
      gradientOf(kernels, logits, load, kind).forEach((value, j) => {
        expect(Math.abs(value - slopes[j])).toBeLessThan(1e-5);
      });
      expect(Math.max(...slopes.map(Math.abs))).toBeGreaterThan(1);
    });

    it.each(entrywise)("takes nothing from disabled experts: %s", (kind) => {
      const none = Number.NEGATIVE_INFINITY;
      const alone = gradientOf(kernels, [1, -2, 0.5, 3], [3, 1], kind);
      const [first, disabled, last] = gradientOf(
        kernels,
        [1, none, -2, 0.5, none, 3, none, none, none],
        [3, 8, 1],
        kind,
      );
      expect([first, disabled, last]).toEqual([alone[0], 0, alone[1]]);
    });

    it("vanishes for equal loads", () => {
      for (const load of [0, 3, 70_001]) {
        expect(gradientOf(kernels, normals(2, 5 * 9, 3), new Array(9).fill(load)).map(Math.abs)).toEqual(
          new Array(9).fill(0),
        );
      }
    });

    it("vanishes where every row is sure of one expert", () => {
      const gradient = gradientOf(kernels, [1e4, -1e4, 0, -1e4, 1e4, 0], [7, 0, 2]);
      for (const value of gradient) expect(Math.abs(value)).toBeLessThan(1e-30);
    });
  });
}

describe("the load gradient of WebAssembly against the reference", () => {
  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`keeps its bound over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of [...oddShapes, { tokens: 2, experts: 500 }, { tokens: 203, experts: 21 }]) {
        const logits = make(tokens, experts);
        // A skewed load, an even one, and one with few left over.
        const loads = [
          (e: number) => Math.floor((1e5 * tokens) / (e + 1) ** 2),
          (e: number) => 1_000_000 + (e % 3),
          (e: number) => (e === 0 ? tokens : 0),
        ];
        for (const loadOf of loads) {
          const load = Array.from({ length: experts }, (_, e) => loadOf(e));
          const mean = load.reduce((a, b) => a + b) / experts;
          const size = new Array<number>(experts).fill(0);
          for (const row of rowsOf(logits, experts)) {
            const p = softmax(row);
            const expected = p.reduce((sum, value, e) => sum + value * Math.abs(load[e] - mean), 0);
            for (let j = 0; j < experts; j++) size[j] += p[j] * (Math.abs(load[j] - mean) + expected);
          }
          const actual = gradientOf(wasm, logits, load);
          gradientOf(reference, logits, load).forEach((value, j) => {
            // The bound that `Kernels.loadGradient` promises; products of underflowing probabilities are absolute.
            expect(Math.abs(actual[j] - value)).toBeLessThanOrEqual(2e-6 * size[j] + 1e-30);
          });
        }
      }
    });
  }

  for (const kind of entrywise) {
    it.each(Object.entries(logitFamilies))(`has the bits of the sums in order under ${kind}: %s`, (_family, make) => {
      for (const { tokens, experts } of [...oddShapes, { tokens: 203, experts: 21 }]) {
        const logits = make(tokens, experts).map(Math.fround);
        const load = Array.from({ length: experts }, (_, e) => Math.floor((1e5 * tokens) / (e + 1) ** 2));
        const affinity = wasm.allocateFloat64(tokens * experts);
        wasm.affinities(float32(wasm, logits), kind, tokens, experts, affinity);
        const expected = new Array<number>(experts).fill(0);
        for (let row = 0; row < tokens * experts; row += experts) {
          const own = Array.from(affinity.subarray(row, row + experts));
          const sum = own.reduce((a, b) => a + b, 0);
          if (sum === 0) continue;
          const mean = own.reduce((total, value, e) => total + load[e] * (value / sum), 0);
          own.forEach((value, e) => {
            if (value > 0) expected[e] += (value / sum) * logScoreSlope(logits[row + e], kind) * (load[e] - mean);
          });
        }
        const actual = gradientOf(wasm, logits, load, kind);
        expect(actual).toEqual(expected);
        const size = Math.max(...load) * tokens;
        gradientOf(reference, logits, load, kind).forEach((value, j) => {
          expect(Math.abs(actual[j] - value)).toBeLessThanOrEqual(1e-14 * size);
        });
      }
    });
  }
});
