import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadPerRank, stepTime } from "../../../src/core/metrics/expert-parallel.ts";

describe("loadPerRank", () => {
  it("sums equal contiguous groups of experts", () => {
    expect(Array.from(loadPerRank([1, 2, 3, 4, 5, 6], 3, new Float64Array(3)))).toEqual([3, 7, 11]);
  });

  it("is the load itself with one expert per rank, and its sum with one rank", () => {
    expect(Array.from(loadPerRank([4, 0, 2], 3, new Float64Array(3)))).toEqual([4, 0, 2]);
    expect(Array.from(loadPerRank([4, 0, 2], 1, new Float64Array(1)))).toEqual([6]);
  });

  it("forgets what the array held before", () => {
    expect(Array.from(loadPerRank([1, 1], 2, Float64Array.from([9, 9])))).toEqual([1, 1]);
  });

  it("gives every expert to the rank that its slice of the load belongs to", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 16 }),
        fc.infiniteStream(fc.nat(100)),
        (ranks, expertsPerRank, numbers) => {
          const load = Array.from({ length: ranks * expertsPerRank }, () => numbers.next().value);
          const expected = Array.from({ length: ranks }, (_, rank) =>
            load.slice(rank * expertsPerRank, (rank + 1) * expertsPerRank).reduce((sum, pairs) => sum + pairs, 0),
          );
          expect(Array.from(loadPerRank(load, ranks, new Float64Array(ranks)))).toEqual(expected);
        },
      ),
      { seed: 1 },
    );
  });
});

describe("stepTime", () => {
  it("is 1 when all ranks have the same load", () => {
    expect(stepTime(Float64Array.from([8, 8, 8, 8]), 32)).toBe(1);
  });

  it("is the number of ranks when one of them has everything", () => {
    expect(stepTime(Float64Array.from([0, 32, 0, 0]), 32)).toBe(4);
  });

  it("divides by the pairs of the batch, not by those assigned", () => {
    // T · K = 32 on 2 ranks, of which a router with a capacity above the target assigned 40, another 12.
    expect(stepTime(Float64Array.from([24, 16]), 32)).toBe(1.5);
    expect(stepTime(Float64Array.from([8, 4]), 32)).toBe(0.5);
  });

  it("is 1 for a batch without pairs", () => {
    expect(stepTime(Float64Array.from([0, 0]), 0)).toBe(1);
  });
});
