import { getFloat16, setFloat16 } from "@petamoriken/float16";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ScoreKind, scoreKinds } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { affinitiesOfRow, bestExperts, largestIndices, toMatrix } from "../../support/plain.ts";
import { disabledSome, float32, float64, logitFamilies, normals, oddShapes } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();

function toFloat16(value: number): number {
  const view = new DataView(new ArrayBuffer(2));
  setFloat16(view, 0, value);
  return getFloat16(view, 0);
}

function selected(
  kernels: Kernels,
  logits: number[],
  key: ScoreKind,
  bias: number[] | null,
  tokens: number,
  experts: number,
  topK: number,
): { expert: number[]; load: number[] } {
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts);
  const biases = bias === null ? null : float64(kernels, bias);
  kernels.selectTopK(float32(kernels, logits), key, biases, tokens, experts, topK, expert, load);
  return { expert: Array.from(expert), load: Array.from(load) };
}

/** The choice by sorting float64 keys, written independently of both implementations; −1 where no expert is left. */
function bySorting(
  logits: number[],
  key: ScoreKind,
  bias: number[] | null,
  tokens: number,
  experts: number,
  topK: number,
): number[] {
  const zero = new Array<number>(experts).fill(0);
  return toMatrix(logits, tokens, experts).flatMap((row) => {
    const best = bias === null ? bestExperts(row, "logits", zero, topK) : bestExperts(row, key, bias, topK);
    return Array.from({ length: topK }, (_, slot) => best[slot] ?? -1);
  });
}

function biasesFor(experts: number): Record<string, number[] | null> {
  return {
    "no bias": null,
    "zero bias": new Array<number>(experts).fill(0),
    // What sign updates make: few distinct values, many experts with the same.
    "multiples of 0.001": normals(experts + 11, experts).map((x) => 0.001 * Math.round(3 * x)),
    "any bias": normals(experts + 12, experts, 0.1),
    "a huge bias": normals(experts + 13, experts, 1e4),
    "biases a hair apart": normals(experts + 14, experts, 1e-9),
  };
}

describe("selectTopK", () => {
  it("orders by key, gives ties to the lower index and counts the loads", () => {
    const logits = [1, 3, 3, 2, 0, 0, 0, 0];
    for (const kernels of [reference, wasm]) {
      const { expert, load } = selected(kernels, logits, "logits", null, 2, 4, 3);
      expect(expert).toEqual([1, 2, 3, 0, 1, 2]);
      expect(load).toEqual([1, 2, 2, 1]);
    }
  });

  it("treats 0 and −0 as a tie", () => {
    for (const kernels of [reference, wasm]) {
      expect(selected(kernels, [-0, 0, -0, 0, -1], "logits", null, 1, 5, 3).expert).toEqual([0, 1, 2]);
    }
  });

  it("adds the bias to the affinity and not to the logit", () => {
    // σ(3) − σ(2) = 0.072 < 0.1 < 1 = 3 − 2.
    for (const kernels of [reference, wasm]) {
      expect(selected(kernels, [3, 2], "sigmoid", [0, 0.1], 1, 2, 1).expert).toEqual([1]);
      expect(selected(kernels, [3, 2], "logits", [0, 0.1], 1, 2, 1).expert).toEqual([0]);
    }
  });

  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`makes exactly the float64 choice, both implementations, over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of oddShapes) {
        const logits = make(tokens, experts);
        for (const bias of Object.values(biasesFor(experts))) {
          for (const key of scoreKinds) {
            for (const topK of new Set([1, Math.min(2, experts), Math.ceil(experts / 3), experts])) {
              const expected = bySorting(logits, key, bias, tokens, experts, topK);
              expect(selected(reference, logits, key, bias, tokens, experts, topK).expert).toEqual(expected);
              expect(selected(wasm, logits, key, bias, tokens, experts, topK).expert).toEqual(expected);
            }
          }
        }
      }
    });
  }

  it.each(scoreKinds)("selects no disabled expert however large its bias, and leaves slots empty: %s", (key) => {
    // Two experts of four are enabled for the first token, one for the second and none for the last.
    const logits = [-Infinity, 1, -Infinity, 2, -Infinity, -Infinity, -50, -Infinity, ...new Array(4).fill(-Infinity)];
    for (const kernels of [reference, wasm]) {
      for (const bias of [null, [0, 0, 0, 0], [9, 0.125, 0, 0], [0, 0, 0, -9]]) {
        const { expert, load } = selected(kernels, logits, key, bias, 3, 4, 3);
        const first = bias?.[3] === -9 ? [1, 3] : [3, 1];
        expect(expert).toEqual([...first, -1, 2, -1, -1, -1, -1, -1]);
        expect(load).toEqual([0, 1, 1, 1]);
      }
    }
  });

  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`makes the float64 choice among the enabled experts, both implementations, over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of oddShapes) {
        const logits = disabledSome(make(tokens, experts), experts);
        for (const bias of [null, biasesFor(experts)["multiples of 0.001"], biasesFor(experts)["a huge bias"]]) {
          for (const key of scoreKinds) {
            for (const topK of new Set([1, Math.ceil(experts / 3), experts])) {
              const expected = bySorting(logits, key, bias, tokens, experts, topK);
              expect(selected(reference, logits, key, bias, tokens, experts, topK).expert).toEqual(expected);
              expect(selected(wasm, logits, key, bias, tokens, experts, topK).expert).toEqual(expected);
            }
          }
        }
      }
    });
  }

  it.each([0, 0.001])("keeps the order of affinities that saturate, at a bias of %f", (bias) => {
    // float64 sigmoids above 37 are 1, and below −745 they are 0.
    for (const kernels of [reference, wasm]) {
      for (const key of ["sigmoid", "softmax", "sqrt-softplus"] as const) {
        expect(selected(kernels, [40, 38, 50, 60], key, new Array(4).fill(bias), 1, 4, 2).expert).toEqual([3, 2]);
        const low = [-900, -800, -850, -1500];
        expect(selected(kernels, low, key, new Array(4).fill(bias), 1, 4, 2).expert).toEqual([1, 2]);
      }
    }
  });

  it("makes exactly the float64 choice on float16 logits, full of ties, at 256 experts", () => {
    const [tokens, experts] = [40, 256];
    const logits = normals(77, tokens * experts).map(toFloat16);
    for (const bias of Object.values(biasesFor(experts))) {
      for (const key of scoreKinds) {
        for (const topK of [1, 4, 8, 13, 16, 17, 40, 200, 256]) {
          expect(selected(wasm, logits, key, bias, tokens, experts, topK)).toEqual(
            selected(reference, logits, key, bias, tokens, experts, topK),
          );
        }
      }
    }
  });

  it("settles near-ties that float32 keys cannot see", () => {
    // Biases that cancel the difference of the affinities up to a few units of float64.
    const experts = 16;
    const logits = normals(5, experts);
    for (const key of scoreKinds) {
      const affinity = affinitiesOfRow(logits, key);
      for (let round = 0; round < 50; round++) {
        const nudges = normals(100 + round, experts, 3e-16);
        const bias = affinity.map((value, e) => 0.5 - value + nudges[e]);
        const expected = bySorting(logits, key, bias, 1, experts, 5);
        expect(selected(wasm, logits, key, bias, 1, experts, 5).expert).toEqual(expected);
      }
    }
  });

  it("agrees with sorting for any logits and biases, finely and coarsely rounded", () => {
    const fresh = () => createWasmKernels();
    let kernels = fresh();
    let runs = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }).chain((experts) =>
          fc.tuple(
            fc.array(
              fc.oneof(
                fc.integer({ min: -12, max: 12 }).map((i) => i / 4),
                fc.float({ min: -200, max: 200, noNaN: true }),
              ),
              {
                minLength: experts,
                maxLength: experts,
              },
            ),
            fc.option(
              fc.array(
                fc.oneof(
                  fc.integer({ min: -4, max: 4 }).map((i) => i / 8),
                  fc.double({ min: -1, max: 1, noNaN: true }),
                ),
                {
                  minLength: experts,
                  maxLength: experts,
                },
              ),
            ),
            fc.integer({ min: 1, max: experts }),
            fc.constantFrom(...scoreKinds),
          ),
        ),
        ([logits, bias, topK, key]) => {
          if (++runs % 500 === 0) kernels = fresh();
          const expected = bySorting(logits, key, bias, 1, logits.length, topK);
          expect(selected(kernels, logits, key, bias, 1, logits.length, topK).expert).toEqual(expected);
        },
      ),
      { numRuns: 1000, seed: 20240701 },
    );
  });
});

/** Per expert, the tokens of the `capacity` largest float64 keys of its column, in ascending order. */
function tokensBySorting(
  logits: number[],
  key: ScoreKind,
  tokens: number,
  experts: number,
  capacity: number,
): number[] {
  const keys = toMatrix(logits, tokens, experts).map((row) => {
    if (key !== "softmax" || Math.max(...row) === -Infinity) return row;
    const largest = Math.max(...row);
    const sum = row.reduce((total, z) => total + Math.exp(z - largest), 0);
    // Below e^−700 float64 has hardly any numbers left, but log S orders them.
    return row.map((z) => {
      const logarithm = z - largest - Math.log(sum);
      return logarithm > -700 ? Math.exp(z - largest) / sum : logarithm;
    });
  });
  const chosen: number[] = [];
  for (let e = 0; e < experts; e++) {
    const order = largestIndices(
      keys.map((row) => row[e]),
      capacity,
    );
    chosen.push(...order.sort((a, b) => a - b));
  }
  return chosen;
}

function selectedTokens(
  kernels: Kernels,
  logits: number[],
  key: ScoreKind,
  tokens: number,
  experts: number,
  capacity: number,
): number[] {
  const chosen = kernels.allocateInt32(experts * capacity);
  kernels.selectTokens(float32(kernels, logits), key, tokens, experts, capacity, chosen);
  return Array.from(chosen);
}

describe("selectTokens", () => {
  it("gives each expert its highest tokens in ascending order, ties to the lower token", () => {
    const logits = [1, 0, 5, 0, 5, 0, 2, 0];
    for (const kernels of [reference, wasm]) {
      expect(selectedTokens(kernels, logits, "logits", 4, 2, 2)).toEqual([1, 2, 0, 1]);
    }
  });

  it("compares affinities across rows, not logits, with softmax", () => {
    // The second row's logits are larger, its softmax is the same distribution turned around.
    const logits = [2, 0, 10, 12];
    for (const kernels of [reference, wasm]) {
      expect(selectedTokens(kernels, logits, "softmax", 2, 2, 1)).toEqual([0, 1]);
      expect(selectedTokens(kernels, logits, "logits", 2, 2, 1)).toEqual([1, 1]);
    }
  });

  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`makes exactly the float64 choice, both implementations, over odd sizes: ${family}`, () => {
      for (const { tokens, experts } of [...oddShapes, { tokens: 150, experts: 6 }]) {
        const logits = make(tokens, experts);
        for (const key of scoreKinds) {
          for (const capacity of new Set([1, Math.ceil(tokens / 3), tokens])) {
            // A sigmoid saturates where the logits still differ; its order is theirs.
            const expected = tokensBySorting(logits, key, tokens, experts, capacity);
            expect(selectedTokens(reference, logits, key, tokens, experts, capacity)).toEqual(expected);
            expect(selectedTokens(wasm, logits, key, tokens, experts, capacity)).toEqual(expected);
          }
        }
      }
    });
  }

  it("settles rows that are shifted copies of each other, whose softmax ties or nearly ties", () => {
    const [tokens, experts] = [60, 8];
    const row = normals(3, experts);
    const logits = Array.from({ length: tokens }, (_, t) => row.map((z) => Math.fround(z + t * 0.3))).flat();
    for (const capacity of [1, 7, 30, 59]) {
      expect(selectedTokens(wasm, logits, "softmax", tokens, experts, capacity)).toEqual(
        tokensBySorting(logits, "softmax", tokens, experts, capacity),
      );
    }
  });

  it("chooses tokens that an expert is disabled for after all others", () => {
    const logits = [-Infinity, 0, -800, 0, -Infinity, -Infinity, -900, 0];
    for (const kernels of [reference, wasm]) {
      for (const key of scoreKinds) {
        expect(selectedTokens(kernels, logits, key, 4, 2, 2), key).toEqual([1, 3, 0, 1]);
        expect(selectedTokens(kernels, logits, key, 4, 2, 3), key).toEqual([0, 1, 3, 0, 1, 3]);
      }
    }
  });

  it("orders a softmax by its logarithm where float64 has no number for it", () => {
    const logits = [0, -2000, 0, -1000, 0, -1500, 0, -3000];
    for (const kernels of [reference, wasm]) {
      expect(selectedTokens(kernels, logits, "softmax", 4, 2, 2).slice(2)).toEqual([1, 2]);
    }
  });

  it("agrees with the reference at a size of many vectors", () => {
    const [tokens, experts] = [1000, 20];
    const logits = normals(8, tokens * experts, 3).map(toFloat16);
    for (const key of scoreKinds) {
      expect(selectedTokens(wasm, logits, key, tokens, experts, 130)).toEqual(
        selectedTokens(reference, logits, key, tokens, experts, 130),
      );
    }
  });
});
