import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expertCapacity, pairsOverCapacity } from "../../src/core/assignment.ts";

const shape = (experts: number, topK: number, capacityFactor: number) => ({
  tokens: 1,
  experts,
  topK,
  capacityFactor,
});

describe("expertCapacity", () => {
  it("is the target load where that is a whole number and the factor is 1", () => {
    expect(expertCapacity(64, shape(8, 2, 1))).toBe(16);
  });

  it("rounds a fractional target load up", () => {
    expect(expertCapacity(10, shape(3, 1, 1))).toBe(4);
    expect(expertCapacity(1, shape(256, 8, 1))).toBe(1);
  });

  it("does not round up because a decimal factor has no exact double", () => {
    // In doubles 1.1 · 50 is 55.00000000000001.
    expect(Math.ceil(1.1 * 50)).toBe(56);
    expect(expertCapacity(50, shape(1, 1, 1.1))).toBe(55);
    expect(expertCapacity(200, shape(8, 2, 1.1))).toBe(55);
    expect(expertCapacity(10, shape(1, 1, 1.1))).toBe(11);
  });

  it("equals the exact ceiling for every factor given in hundredths", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 512 }),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 100, max: 400 }),
        (tokens, experts, topK, hundredths) => {
          const exact = (BigInt(hundredths * tokens * topK) + BigInt(100 * experts - 1)) / BigInt(100 * experts);
          expect(expertCapacity(tokens, shape(experts, topK, hundredths / 100))).toBe(Number(exact));
        },
      ),
      { seed: 1, numRuns: 5000 },
    );
  });
});

describe("pairsOverCapacity", () => {
  it("sums what each expert has above the capacity, and nothing for those below", () => {
    expect(pairsOverCapacity([5, 0, 9, 4], 4)).toBe(6);
    expect(pairsOverCapacity([4, 4], 4)).toBe(0);
  });
});
