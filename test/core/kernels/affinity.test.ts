import { describe, expect, it } from "vitest";
import { type ScoreKind, scoreKinds } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { float32, float64, int32, logitFamilies, normals, oddShapes, worstRelativeError } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();
const both = { reference, wasm };

// Below the smallest normal float32 number only the absolute error can be small.
const smallestNormal = 2 ** -126;

function scoresOf(kernels: Kernels, logits: number[], kind: ScoreKind, tokens: number, experts: number): Float32Array {
  const scores = kernels.allocateFloat32(tokens * experts);
  kernels.scores(float32(kernels, logits), kind, tokens, experts, scores);
  return scores;
}

function logSumExpOf(kernels: Kernels, logits: number[], tokens: number, experts: number): Float64Array {
  const out = kernels.allocateFloat64(tokens);
  kernels.logSumExpRows(float32(kernels, logits), tokens, experts, out);
  return out;
}

/** `slots` experts per token, some of them −1, the last token with none at all. */
function someExperts(tokens: number, experts: number, slots: number): number[] {
  return Array.from({ length: tokens * slots }, (_, pair) => {
    const [token, slot] = [Math.floor(pair / slots), pair % slots];
    if (token === tokens - 1 || (token % 3 === 1 && slot % 2 === 1)) return -1;
    return (token * 5 + slot) % experts;
  });
}

for (const [backend, kernels] of Object.entries(both)) {
  describe(`the affinities of the ${backend} kernels`, () => {
    it("are the closed forms of two experts", () => {
      // The softmax of (0, ln 3) is (1/4, 3/4); the sigmoid of ln 3 is 3/4.
      expect(worstRelativeError(scoresOf(kernels, [0, Math.log(3)], "softmax", 1, 2), [0.25, 0.75])).toBeLessThan(3e-7);
      expect(worstRelativeError(scoresOf(kernels, [0, Math.log(3)], "sigmoid", 1, 2), [0.5, 0.75])).toBeLessThan(3e-7);
    });

    it("are the roots of the softplus, and the logits themselves", () => {
      const roots = [Math.sqrt(Math.log(2)), 10, Math.exp(-25), Math.sqrt(Math.log1p(Math.exp(-2)))];
      expect(worstRelativeError(scoresOf(kernels, [0, 100, -50, -2], "sqrt-softplus", 1, 4), roots)).toBeLessThan(5e-7);
      expect(Array.from(scoresOf(kernels, [0, 100, -50, -2], "logits", 1, 4))).toEqual([0, 100, -50, -2]);
    });

    it("are 0 for disabled experts, −∞ among logits, and their rows' log-sum-exp is of the others", () => {
      const logits = [-Infinity, 1, -Infinity, -Infinity, -Infinity, -Infinity];
      for (const kind of scoreKinds) {
        const row = scoresOf(kernels, logits, kind, 2, 3);
        const none = kind === "logits" ? -Infinity : 0;
        expect(Array.from(row)).toEqual([none, kind === "softmax" ? 1 : row[1], none, none, none, none]);
      }
      expect(Array.from(logSumExpOf(kernels, logits, 2, 3))).toEqual([1, -Infinity]);
      const gate = kernels.allocateFloat32(6);
      for (const kind of scoreKinds) {
        for (const renormalize of [true, false]) {
          kernels.gates(
            float32(kernels, logits),
            kind,
            renormalize,
            int32(kernels, [1, -1, -1, -1, -1, -1]),
            2,
            3,
            3,
            gate,
          );
          expect(gate[0]).toBeGreaterThan(0.7);
          expect(Array.from(gate.subarray(1))).toEqual([0, 0, 0, 0, 0]);
        }
      }
    });

    it("are 1/E for equal logits of any size", () => {
      for (const logit of [0, 1e4, -1e4, 3e38]) {
        const row = new Array<number>(7).fill(logit);
        expect(worstRelativeError(scoresOf(kernels, row, "softmax", 1, 7), new Array(7).fill(1 / 7))).toBeLessThan(
          2e-7,
        );
      }
    });

    it("underflow to 0 and become denormal numbers where they should", () => {
      const softmax = scoresOf(kernels, [0, -95, -200, -1e4], "softmax", 1, 4);
      expect(softmax[0]).toBe(1);
      // e^−95 = 5.52e-42 is a multiple of 2^−149 only to within half of it.
      expect(Math.abs(softmax[1] - Math.exp(-95))).toBeLessThanOrEqual(2 ** -149);
      expect(softmax[1]).toBeGreaterThan(0);
      expect([softmax[2], softmax[3]]).toEqual([0, 0]);
      const sigmoid = scoresOf(kernels, [-95, -200, 200, -1e4, 1e4], "sigmoid", 1, 5);
      expect(Math.abs(sigmoid[0] - Math.exp(-95))).toBeLessThanOrEqual(2 ** -149);
      expect(sigmoid[0]).toBeGreaterThan(0);
      expect(Array.from(sigmoid.slice(1))).toEqual([0, 1, 0, 1]);
    });

    it("have the log-sum-exp log(E) + c of equal rows, and finite ones for any finite row", () => {
      expect(logSumExpOf(kernels, [2, 2, 2, 2], 1, 4)[0]).toBeCloseTo(2 + Math.log(4), 14);
      expect(logSumExpOf(kernels, [1e4, -1e4, -1e4], 1, 3)[0]).toBe(1e4);
      expect(logSumExpOf(kernels, [3e38, -3e38], 1, 2)[0]).toBe(Math.fround(3e38));
    });

    it("have gates that sum to 1 when renormalised, even where every affinity underflows", () => {
      const logits = float32(kernels, [-300, -301, -299, 500, -300, -301, -299, 500]);
      const expert = int32(kernels, [0, 1, 2, -1, 1, 0]);
      for (const kind of scoreKinds) {
        const gate = kernels.allocateFloat32(6);
        kernels.gates(logits, kind, true, expert, 2, 4, 3, gate);
        // e^z up to a factor here, and its root with the square root.
        const ratio = Math.exp(kind === "sqrt-softplus" ? -0.5 : -1);
        const sum = 1 + ratio + ratio ** 2;
        const pair = 1 + ratio;
        const expected = [ratio / sum, ratio ** 2 / sum, 1 / sum, 0, ratio / pair, 1 / pair];
        expect(worstRelativeError(gate, expected)).toBeLessThan(5e-7);
      }
    });

    it("have renormalised gates that are precise where the affinities are denormal numbers", () => {
      const logits = float32(kernels, [-38, -100, -120, -127, -140]);
      const gate = kernels.allocateFloat32(5);
      kernels.gates(logits, "sigmoid", true, int32(kernels, [0, 1, 2, 3, 4]), 1, 5, 5, gate);
      const expected = [1, Math.exp(-62), Math.exp(-82), Math.exp(-89), Math.exp(-102)];
      expect(worstRelativeError(gate, expected, smallestNormal)).toBeLessThan(1e-6);
      kernels.gates(logits, "sigmoid", true, int32(kernels, [0, 0, -1, -1, -1]), 1, 5, 5, gate);
      expect(Array.from(gate)).toEqual([0.5, 0.5, 0, 0, 0]);
    });

    it("have gates that are the affinities themselves when not renormalised", () => {
      const logits = normals(4, 3 * 6);
      const expert = [5, 0, 2, 2, -1, 1];
      for (const kind of scoreKinds) {
        const gate = kernels.allocateFloat32(6);
        kernels.gates(float32(kernels, logits), kind, false, int32(kernels, expert), 3, 6, 2, gate);
        const scores = scoresOf(kernels, logits, kind, 3, 6);
        const expected = expert.map((e, pair) => (e < 0 ? 0 : scores[Math.floor(pair / 2) * 6 + e]));
        expect(Array.from(gate)).toEqual(expected);
      }
    });
  });
}

describe("the affinities of the WebAssembly kernels against the reference", () => {
  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`agree over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of oddShapes) {
        const logits = make(tokens, experts);
        const logSumExp = logSumExpOf(reference, logits, tokens, experts);
        // float64 rounding of the sum and of its last addition.
        expect(worstRelativeError(logSumExpOf(wasm, logits, tokens, experts), logSumExp, 1)).toBeLessThan(2e-15);
        const slots = Math.min(experts, 5);
        const expert = someExperts(tokens, experts, slots);
        for (const kind of scoreKinds) {
          // The bound that `Kernels.scores` promises.
          expect(
            worstRelativeError(
              scoresOf(wasm, logits, kind, tokens, experts),
              scoresOf(reference, logits, kind, tokens, experts),
              smallestNormal,
            ),
          ).toBeLessThan(1e-6);
          for (const renormalize of [true, false]) {
            const [actual, expected] = [wasm, reference].map((kernels) => {
              const gate = kernels.allocateFloat32(tokens * slots);
              const chosen = int32(kernels, expert);
              kernels.gates(float32(kernels, logits), kind, renormalize, chosen, tokens, experts, slots, gate);
              return gate;
            });
            expect(worstRelativeError(actual, expected, smallestNormal)).toBeLessThan(1e-6);
          }
          const [actual, expected] = [wasm, reference].map((kernels) => {
            const pairScore = kernels.allocateFloat64(tokens * slots);
            const chosen = int32(kernels, expert);
            const sums = float64(kernels, logSumExp);
            kernels.pairScores(float32(kernels, logits), kind, sums, chosen, tokens, experts, slots, pairScore);
            return pairScore;
          });
          // 1e-15 of the exponential and its rounding into a quotient; what is below e^−708 = 3.3e-308 is 0.
          expect(worstRelativeError(actual, expected, 1e-290)).toBeLessThan(3e-15);
        }
      }
    });
  }

  it("keep their bound over a dense sweep of a row's range", () => {
    // Two experts, 0 and −x: S of the second is e^−x / (1 + e^−x). Every binade of x that gives a normal S.
    const tokens = 20_000;
    const logits: number[] = [];
    for (let t = 0; t < tokens; t++) logits.push(0, Math.fround(-87 * ((t + 0.37) / tokens) ** 2));
    for (const shift of [0, 1000]) {
      const shifted = logits.map((z) => Math.fround(z + shift));
      for (const kind of scoreKinds) {
        expect(
          worstRelativeError(
            scoresOf(wasm, shifted, kind, tokens, 2),
            scoresOf(reference, shifted, kind, tokens, 2),
            smallestNormal,
          ),
        ).toBeLessThan(5e-7);
      }
    }
  });
});
