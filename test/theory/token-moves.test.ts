import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMoveCounter, movesByLoadClass } from "../../results/theory/measures/token-moves.ts";
import { countLoad, largestIndices, toMatrix } from "../support/plain.ts";
import { randomLogits } from "../support/random-logits.ts";

function countMoves(before: number[], after: number[], experts: number, topK: number): number[] {
  const moves = new Int32Array(experts * experts).fill(9);
  const tokens = before.length / topK;
  createMoveCounter(experts, topK).count(Int32Array.from(before), Int32Array.from(after), tokens, moves);
  return Array.from(moves);
}

describe("moves between two selections", () => {
  it("are counted from the expert a token left to the one it went to", () => {
    expect(countMoves([0, 0, 1], [1, 0, 0], 2, 1)).toEqual([0, 1, 1, 0]);
  });

  it("are none for another order of the same experts", () => {
    expect(countMoves([2, 0], [0, 2], 3, 2)).toEqual(new Array(9).fill(0));
  });

  it("pair each expert that leaves a token with each that enters", () => {
    expect(countMoves([0, 1, 2], [3, 1, 4], 5, 3)).toEqual(
      Array.from({ length: 25 }, (_, entry) => Number([3, 4, 13, 14].includes(entry))),
    );
  });

  it("explain the change of the loads when tokens have one expert each", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.nat(),
        (tokens, experts, seed) => {
          const choose = (name: string) =>
            toMatrix(randomLogits(`${name}${seed}`, tokens, experts), tokens, experts).map((row) =>
              largestIndices(row, 1),
            );
          const [before, after] = [choose("before"), choose("after")];
          const moves = countMoves(before.flat(), after.flat(), experts, 1);
          const load = countLoad(before, experts);
          for (let from = 0; from < experts; from++) {
            for (let to = 0; to < experts; to++) {
              load[from] -= moves[from * experts + to];
              load[to] += moves[from * experts + to];
            }
          }
          expect(load).toEqual(countLoad(after, experts));
        },
      ),
      { seed: 1 },
    );
  });
});

describe("moves by class of load", () => {
  it("are summed over the experts above, at and below the mean load, which need not be whole", () => {
    // Mean load 2: expert 0 above, 1 at it, 2 and 3 below.
    const moves = Int32Array.of(0, 1, 2, 3, 4, 0, 5, 6, 7, 8, 0, 9, 10, 11, 12, 0);
    const byClass = new Int32Array(9).fill(9);
    movesByLoadClass(moves, [5, 2, 1, 0], byClass);
    expect(Array.from(byClass)).toEqual([0, 1, 5, 4, 0, 11, 17, 19, 21]);
    // Mean load 1/3: no expert is at it.
    movesByLoadClass(Int32Array.of(0, 1, 0, 0, 0, 1, 0, 0, 0), [0, 1, 0], byClass);
    expect(Array.from(byClass)).toEqual([0, 0, 1, 0, 0, 0, 1, 0, 0]);
  });
});
