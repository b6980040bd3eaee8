import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { apportion, createLoadFitter } from "../../../../src/core/streams/parts/exact-loads.ts";

function rounded(wanted: number[], total: number, most: number): number[] {
  const counts = new Int32Array(wanted.length);
  apportion(wanted, total, most, counts);
  return Array.from(counts);
}

describe("apportion", () => {
  it("rounds up the largest remainders, the lowest index first", () => {
    expect(rounded([1.5, 2.25, 0.75, 1.5], 6, 10)).toEqual([2, 2, 1, 1]);
    expect(rounded([1.5, 2.25, 0.75, 1.5], 7, 10)).toEqual([2, 2, 1, 2]);
  });

  it("keeps within 0 and the most, and takes from those that have too much", () => {
    expect(rounded([7.5, -2, 1.5], 6, 4)).toEqual([4, 0, 2]);
    expect(rounded([2, 2, -1], 3, 4)).toEqual([1, 2, 0]);
  });

  it("sums to the total, with every count within one of what is wanted if that is possible", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 9, noNaN: true }), { minLength: 1, maxLength: 12 }), (wanted) => {
        const total = Math.round(wanted.reduce((sum, each) => sum + each, 0));
        const counts = rounded(wanted, total, 10);
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(total);
        counts.forEach((count, e) => {
          expect(Math.abs(count - wanted[e])).toBeLessThanOrEqual(1);
        });
      }),
      { numRuns: 200 },
    );
  });
});

/** Fits normal logits to `counts`; returns how many pairs moved, the loads, and the logits before and after. */
function fitted(tokens: number, experts: number, topK: number, counts: number[], seed = "fit") {
  const kernels = createReferenceKernels();
  const random = createRandom(seed);
  const logits = kernels.allocateFloat32(tokens * experts);
  for (let entry = 0; entry < logits.length; entry++) logits[entry] = random.normal();
  const before = logits.slice();
  const fitter = createLoadFitter(kernels, { tokens, experts, topK }, random.uniform);
  const moved = fitter.fit(logits, Int32Array.from(counts));
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts);
  kernels.selectTopK(logits, "logits", null, tokens, experts, topK, expert, load);
  return { moved, load: Array.from(load), before, after: logits };
}

describe("a load fitter", () => {
  it("gives every expert its pairs for any counts, by exchanges within rows", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 24 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 9, maxLength: 9 }),
        (tokens, experts, choices, weights) => {
          const topK = Math.min(choices, experts);
          const counts = new Int32Array(experts);
          apportion(
            weights.slice(0, experts).map((weight) => weight * tokens),
            tokens * topK,
            tokens,
            counts,
          );
          const { load, before, after } = fitted(tokens, experts, topK, Array.from(counts), weights.join());
          expect(load).toEqual(Array.from(counts));
          for (let first = 0; first < after.length; first += experts) {
            expect(after.slice(first, first + experts).sort()).toEqual(before.slice(first, first + experts).sort());
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("moves no more pairs than the loads differ by", () => {
    const natural = fitted(200, 6, 2, fitted(200, 6, 2, [80, 80, 60, 60, 60, 60]).load);
    expect(natural.load).toEqual([80, 80, 60, 60, 60, 60]);
    const kernels = createReferenceKernels();
    const load = kernels.allocateInt32(6);
    const logits = kernels.allocateFloat32(natural.before.length);
    logits.set(natural.before);
    kernels.selectTopK(logits, "logits", null, 200, 6, 2, kernels.allocateInt32(400), load);
    const surplus = natural.load.reduce((sum, count, e) => sum + Math.max(0, load[e] - count), 0);
    expect(natural.moved).toBe(surplus);
    expect(surplus).toBeGreaterThan(0);
  });

  it("passes pairs on by a third expert if every token of one has the other already", () => {
    const kernels = createReferenceKernels();
    // Expert 0 has tokens 0 and 1, each with expert 1, which shall have token 2 as well.
    const logits = kernels.allocateFloat32(12);
    logits.set([9, 8, 1, 0, 9, 8, 0, 1, 0, 1, 9, 8]);
    const load = kernels.allocateInt32(4);
    createLoadFitter(kernels, { tokens: 3, experts: 4, topK: 2 }, () => 0).fit(logits, Int32Array.of(1, 3, 1, 1));
    kernels.selectTopK(logits, "logits", null, 3, 4, 2, kernels.allocateInt32(6), load);
    expect(Array.from(load)).toEqual([1, 3, 1, 1]);
  });
});
