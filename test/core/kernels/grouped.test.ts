import { getFloat16, setFloat16 } from "@petamoriken/float16";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ScoreKind, scoreKinds } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { affinitiesOfRow, bestExperts, largestIndices, toMatrix } from "../../support/plain.ts";
import { disabledSome, float32, float64, logitFamilies, normals } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();

interface Grouping {
  readonly groups: number;
  readonly topGroups: number;
  readonly topK: number;
  readonly groupScore?: "top2-sum" | "max";
  readonly quota?: number | undefined;
}

function selected(
  kernels: Kernels,
  logits: number[],
  key: ScoreKind,
  bias: number[],
  { topK, groupScore = "top2-sum", ...groups }: Grouping,
): { expert: number[]; load: number[] } {
  const experts = bias.length;
  const tokens = logits.length / experts;
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts).fill(9);
  const [from, biases] = [float32(kernels, logits), float64(kernels, bias)];
  kernels.selectGroupedTopK(from, key, biases, { ...groups, groupScore }, tokens, experts, topK, expert, load);
  return { expert: Array.from(expert), load: Array.from(load) };
}

/** The choice by sorting float64 keys, written independently of both implementations. */
function bySorting(logits: number[], key: ScoreKind, bias: number[], grouping: Grouping): number[] {
  const { groups, topGroups, topK, groupScore = "top2-sum", quota = topK } = grouping;
  const experts = bias.length;
  const size = experts / groups;
  return toMatrix(logits, logits.length / experts, experts).flatMap((row) => {
    const keys = affinitiesOfRow(row, key).map((value, e) => (row[e] === -Infinity ? -Infinity : value + bias[e]));
    const score = Array.from({ length: groups }, (_, group) => {
      const enabled = keys.slice(group * size, (group + 1) * size).filter((value) => value !== -Infinity);
      const [first = -Infinity, second = 0] = enabled.sort((a, b) => b - a);
      return groupScore === "max" ? first : first + second;
    });
    const kept = largestIndices(score, topGroups);
    const taken = new Array<number>(groups).fill(0);
    const isKept = (e: number) => kept.includes(Math.floor(e / size));
    const best = bestExperts(row, key, bias, experts, isKept).filter((e) => {
      const group = Math.floor(e / size);
      taken[group] += 1;
      return taken[group] <= quota;
    });
    return Array.from({ length: topK }, (_, slot) => best[slot] ?? -1);
  });
}

function biasesFor(experts: number): Record<string, number[]> {
  return {
    zero: new Array<number>(experts).fill(0),
    // What sign updates make: few distinct values, many experts with the same.
    "multiples of 0.001": normals(experts + 11, experts).map((x) => 0.001 * Math.round(3 * x)),
    any: normals(experts + 12, experts, 0.1),
    huge: normals(experts + 13, experts, 1e4),
    "a hair apart": normals(experts + 14, experts, 1e-9),
    "beyond float32": normals(experts + 15, experts).map((x) => (x > 0.5 ? 1e300 : x < -0.5 ? -1e300 : x)),
  };
}

/** Groups of one, two, three and more experts, with and without whole vectors, one group and all groups kept. */
const shapes: readonly (Grouping & { readonly tokens: number; readonly experts: number })[] = [
  { tokens: 3, experts: 1, groups: 1, topGroups: 1, topK: 1 },
  { tokens: 9, experts: 6, groups: 6, topGroups: 3, topK: 2 },
  { tokens: 9, experts: 8, groups: 4, topGroups: 2, topK: 4 },
  { tokens: 7, experts: 9, groups: 3, topGroups: 2, topK: 4 },
  { tokens: 7, experts: 12, groups: 3, topGroups: 1, topK: 4 },
  { tokens: 5, experts: 15, groups: 3, topGroups: 3, topK: 5 },
  { tokens: 6, experts: 28, groups: 4, topGroups: 3, topK: 17 },
  { tokens: 5, experts: 64, groups: 1, topGroups: 1, topK: 8 },
  { tokens: 5, experts: 66, groups: 6, topGroups: 2, topK: 3 },
  { tokens: 4, experts: 180, groups: 90, topGroups: 88, topK: 100 },
  { tokens: 4, experts: 180, groups: 90, topGroups: 7, topK: 8 },
];

/** The plain grouping, and with the other group score and the least quota that fills the slots. */
function variantsOf(grouping: Grouping): Grouping[] {
  const quota = Math.ceil(grouping.topK / grouping.topGroups);
  return [grouping, { ...grouping, groupScore: "max", quota }];
}

describe("selectGroupedTopK", () => {
  it("takes the group with the best expert by max, and at most the quota of each group", () => {
    for (const kernels of [reference, wasm]) {
      const zero = new Array<number>(6).fill(0);
      const best = { groups: 2, topGroups: 1, topK: 1, groupScore: "max" } as const;
      expect(selected(kernels, [3, -9, -9, 2, 2, 2], "sigmoid", zero, best).expert).toEqual([0]);
      const equal = { groups: 2, topGroups: 2, topK: 4, quota: 2 };
      expect(selected(kernels, [3, 4, 5, 0, 1, 2], "sigmoid", zero, equal).expert).toEqual([2, 1, 5, 4]);
    }
  });

  it("scores a group by its enabled experts alone, whatever the bias of the others", () => {
    for (const kernels of [reference, wasm]) {
      const grouping = { groups: 2, topGroups: 1, topK: 2 };
      const logits = [-Infinity, 1, 0.5, 0.4];
      // σ(1) = 0.73 alone against σ(0.5) + σ(0.4) = 1.22; the bias of a disabled expert would lift its group above.
      expect(selected(kernels, logits, "sigmoid", [5, 0, 0, 0], grouping).expert).toEqual([2, 3]);
      expect(selected(kernels, logits, "sigmoid", [0, 1, 0, 0], grouping).expert).toEqual([1, -1]);
    }
  });

  it("keeps the group of two good experts before the one with the best expert alone", () => {
    // σ(3) + σ(−9) ≈ 0.953 < 2·σ(1) ≈ 1.462.
    for (const kernels of [reference, wasm]) {
      const grouping = { groups: 2, topGroups: 1, topK: 1 };
      const { expert, load } = selected(kernels, [3, -9, 1, 1], "sigmoid", [0, 0, 0, 0], grouping);
      expect(expert).toEqual([2]);
      expect(load).toEqual([0, 0, 1, 0]);
    }
  });

  it("gives ties between groups and between experts to the lower one", () => {
    for (const kernels of [reference, wasm]) {
      for (const key of scoreKinds) {
        const grouping = { groups: 3, topGroups: 2, topK: 3 };
        expect(selected(kernels, new Array(6).fill(0), key, new Array(6).fill(0), grouping).expert).toEqual([0, 1, 2]);
        // The third group is kept with the first, whose sum is that of the second.
        expect(selected(kernels, [1, 0, 0, 1, 3, 1], key, new Array(6).fill(0), grouping).expert).toEqual([4, 0, 5]);
      }
    }
  });

  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`makes exactly the float64 choice, both implementations, over odd sizes: ${family}`, () => {
      for (const { tokens, experts, ...grouping } of shapes) {
        const logits = make(tokens, experts);
        for (const [name, bias] of Object.entries(biasesFor(experts))) {
          for (const key of scoreKinds) {
            for (const variant of variantsOf(grouping)) {
              // Few distinct biases have most ties; sorting in the tests is slow.
              const some = name === "multiples of 0.001" ? [disabledSome(logits, experts)] : [];
              for (const given of [logits, ...some]) {
                const expected = bySorting(given, key, bias, variant);
                expect(selected(reference, given, key, bias, variant).expert).toEqual(expected);
                expect(selected(wasm, given, key, bias, variant).expert).toEqual(expected);
              }
            }
          }
        }
      }
    });
  }

  it("makes exactly the float64 choice on float16 logits, full of ties, at 256 experts", () => {
    const view = new DataView(new ArrayBuffer(2));
    const logits = normals(78, 40 * 256).map((z) => {
      setFloat16(view, 0, z);
      return getFloat16(view, 0);
    });
    for (const bias of Object.values(biasesFor(256))) {
      for (const key of scoreKinds) {
        for (const grouping of [
          { groups: 8, topGroups: 4, topK: 8 },
          { groups: 32, topGroups: 5, topK: 33 },
          { groups: 128, topGroups: 100, topK: 90 },
        ]) {
          expect(selected(wasm, logits, key, bias, grouping)).toEqual(selected(reference, logits, key, bias, grouping));
        }
      }
    }
  });

  it("settles groups whose scores float32 cannot tell apart", () => {
    // Biases that leave the keys of each group's two best a few units of float64 from a common sum.
    const [experts, groups, size] = [24, 6, 4];
    const logits = normals(5, experts);
    const seen = new Set<string>();
    for (const key of scoreKinds) {
      const affinity = affinitiesOfRow(logits, key);
      for (let round = 0; round < 50; round++) {
        const nudges = normals(200 + round, experts, 3e-16);
        const bias = affinity.map((value, e) => {
          const offset = (e % 2 === 0 ? 1e-3 : -1e-3) * Math.floor(e / size);
          return [0.75, 0.5, 0.25, 0][e % size] + offset - value + nudges[e];
        });
        const grouping = { groups, topGroups: 3, topK: 3 };
        const expected = bySorting(logits, key, bias, grouping);
        expect(selected(wasm, logits, key, bias, grouping).expert).toEqual(expected);
        seen.add(expected.map((e) => Math.floor(e / size)).join());
      }
    }
    // The nudges decide, and not the order of the groups.
    expect(seen.size).toBeGreaterThan(10);
  });

  it("agrees with sorting for any logits, biases and groups, finely and coarsely rounded", () => {
    let kernels = createWasmKernels();
    let runs = 0;
    const sized = (element: fc.Arbitrary<number>, length: number) =>
      fc.array(element, { minLength: length, maxLength: length });
    const logit = fc.oneof(
      fc.integer({ min: -12, max: 12 }).map((i) => i / 4),
      fc.float({ min: -200, max: 200, noNaN: true }),
    );
    const offset = fc.oneof(
      fc.integer({ min: -4, max: 4 }).map((i) => i / 8),
      fc.double({ min: -1, max: 1, noNaN: true }),
    );
    const setting = fc
      .record({ groups: fc.integer({ min: 1, max: 9 }), size: fc.integer({ min: 1, max: 9 }) })
      .chain(({ groups, size }) =>
        fc.integer({ min: 1, max: groups }).chain((topGroups) =>
          fc.record({
            groups: fc.constant(groups),
            topGroups: fc.constant(topGroups),
            topK: fc.integer({ min: 1, max: topGroups * size }),
            logits: sized(logit, groups * size),
            bias: sized(offset, groups * size),
            key: fc.constantFrom(...scoreKinds),
          }),
        ),
      );
    fc.assert(
      fc.property(setting, ({ logits, bias, key, ...grouping }) => {
        if (++runs % 500 === 0) kernels = createWasmKernels();
        expect(selected(kernels, logits, key, bias, grouping).expert).toEqual(bySorting(logits, key, bias, grouping));
      }),
      { numRuns: 1000, seed: 20240702 },
    );
  });
});
