import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createChurnMeter } from "../../../src/core/metrics/churn.ts";
import { largestIndices, type Matrix, toMatrix } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";

function churn(chosen: Matrix, topK: Matrix, experts: number): number {
  return createChurnMeter(experts).measure(
    Int32Array.from(chosen.flat()),
    chosen[0].length,
    Int32Array.from(topK.flat()),
    topK[0].length,
    topK.length,
  );
}

describe("churn", () => {
  it("is 0 for top-k's own choice, in whatever order of the slots", () => {
    expect(churn([[2, 0]], [[2, 0]], 4)).toBe(0);
    expect(churn([[0, 2]], [[2, 0]], 4)).toBe(0);
  });

  it("is 1 when no pair is shared", () => {
    expect(
      churn(
        [
          [1, 3],
          [0, 1],
        ],
        [
          [2, 0],
          [2, 3],
        ],
        4,
      ),
    ).toBe(1);
  });

  it("counts a slot without an expert as differing", () => {
    expect(churn([[2, -1]], [[2, 0]], 4)).toBe(0.5);
    expect(churn([[-1, -1]], [[2, 0]], 4)).toBe(1);
  });

  it("does not take an expert of one token for an expert of another", () => {
    expect(churn([[1], [0]], [[0], [1]], 2)).toBe(1);
  });

  it("counts the shared pairs when a token has more or fewer experts than K", () => {
    expect(
      churn(
        [
          [0, 1, 2],
          [-1, -1, -1],
        ],
        [
          [2, 0],
          [2, 0],
        ],
        3,
      ),
    ).toBe(0.5);
  });

  it("remembers nothing of the batch before", () => {
    const meter = createChurnMeter(3);
    meter.measure(Int32Array.of(0), 1, Int32Array.of(0), 1, 1);
    expect(meter.measure(Int32Array.of(0), 1, Int32Array.of(1), 1, 1)).toBe(1);
  });

  it("takes slots that plain top-k leaves empty too for no pairs", () => {
    const meter = createChurnMeter(3);
    expect(meter.measure(Int32Array.of(0, -1, 1, 2), 2, Int32Array.of(0, -1, 2, 1), 2, 2)).toBe(0);
    expect(meter.measure(Int32Array.of(0, -1, 1, -1), 2, Int32Array.of(0, -1, 2, 1), 2, 2)).toBeCloseTo(1 / 3, 15);
    expect(meter.measure(Int32Array.of(-1), 1, Int32Array.of(-1), 1, 1)).toBe(0);
  });

  it("reads only the tokens of a shorter batch", () => {
    expect(createChurnMeter(3).measure(Int32Array.of(0, 1, 2), 1, Int32Array.of(0, 2, 0), 1, 2)).toBe(0.5);
  });

  it("equals one minus the shared share of the sets of pairs", () => {
    const sizes = fc.record({ tokens: fc.integer({ min: 1, max: 12 }), experts: fc.integer({ min: 1, max: 8 }) });
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), ({ tokens, experts }, seed, sizeSeed) => {
        const topK = 1 + (sizeSeed % experts);
        const choose = (name: string) =>
          toMatrix(randomLogits(`${name}${seed}`, tokens, experts), tokens, experts).map((row) =>
            largestIndices(row, topK),
          );
        const chosen = choose("chosen");
        const plain = choose("plain");
        const pairsOf = (choice: Matrix) => choice.flatMap((row, token) => row.map((expert) => `${token}:${expert}`));
        const plainPairs = new Set(pairsOf(plain));
        const different = pairsOf(chosen).filter((pair) => !plainPairs.has(pair)).length;
        expect(churn(chosen, plain, experts)).toBeCloseTo(different / (tokens * topK), 12);
      }),
      { seed: 1 },
    );
  });
});
