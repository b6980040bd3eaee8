import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBoundaryCounter } from "../../results/theory/measures/boundary-tokens.ts";
import { randomLogits } from "../support/random-logits.ts";

interface Near {
  readonly inside: number[];
  readonly outside: number[];
}

function countNear(scores: number[][], bias: number[], topK: number, width: number): Near {
  const inside = new Int32Array(bias.length).fill(9);
  const outside = new Int32Array(bias.length).fill(9);
  const counter = createBoundaryCounter(bias.length, topK);
  counter.count(Float64Array.from(scores.flat()), Float64Array.from(bias), scores.length, width, inside, outside);
  return { inside: Array.from(inside), outside: Array.from(outside) };
}

describe("tokens near the boundary of an expert", () => {
  it("are those whose margin to the K-th of the others is at most the width, inside or outside", () => {
    const scores = [
      [0.5, 0.375, 0],
      [0.75, 0, 0.25],
    ];
    expect(countNear(scores, [0, 0, 0], 1, 0.125)).toEqual({ inside: [1, 0, 0], outside: [0, 1, 0] });
    expect(countNear(scores, [0, 0, 0], 1, 0.1)).toEqual({ inside: [0, 0, 0], outside: [0, 0, 0] });
    // Keys 0.5, 0.375, 0.5 and 0.75, 0, 0.75: ties are on both sides.
    expect(countNear(scores, [0, 0, 0.5], 1, 0.125)).toEqual({ inside: [2, 0, 2], outside: [2, 1, 2] });
  });

  it("are none where every token is on every expert", () => {
    expect(countNear([[1, 1]], [0, 0], 2, 1)).toEqual({ inside: [0, 0], outside: [0, 0] });
  });

  it("are counted as by sorting the other experts", () => {
    const sizes = fc.record({ tokens: fc.integer({ min: 1, max: 9 }), experts: fc.integer({ min: 2, max: 7 }) });
    fc.assert(
      fc.property(sizes, fc.nat(), fc.nat(), fc.double({ min: 0, max: 2, noNaN: true }), (size, slots, seed, width) => {
        const { tokens, experts } = size;
        const topK = 1 + (slots % (experts - 1));
        const flat = Array.from(randomLogits(`${seed}`, tokens + 1, experts));
        const bias = flat.splice(0, experts);
        const rows = Array.from({ length: tokens }, (_, t) => flat.slice(t * experts, (t + 1) * experts));
        const margins = bias.map((own, e) => {
          return rows.map((row) => {
            const others = row.map((score, j) => score + bias[j]).filter((_, j) => j !== e);
            return row[e] + own - others.sort((left, right) => right - left)[topK - 1];
          });
        });
        expect(countNear(rows, bias, topK, width)).toEqual({
          inside: margins.map((own) => own.filter((margin) => margin >= 0 && margin <= width).length),
          outside: margins.map((own) => own.filter((margin) => margin <= 0 && margin >= -width).length),
        });
      }),
      { seed: 1 },
    );
  });
});
