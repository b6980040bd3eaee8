import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pairsOverCapacity } from "../../../src/core/assignment.ts";
import { type CapacityPolicy, dropOverCapacity, unassignedPairs } from "../../../src/core/metrics/drops.ts";
import { countLoad, type Matrix, toMatrix } from "../../support/plain.ts";

type Policy = Exclude<CapacityPolicy, "none">;

function drop(chosen: Matrix, score: Matrix, experts: number, capacity: number, policy: Policy): Matrix {
  const tokens = chosen.length;
  const slots = chosen[0].length;
  const kept = new Int32Array(tokens * slots).fill(-7);
  dropOverCapacity(
    {
      slots,
      expert: Int32Array.from(chosen.flat()),
      gate: new Float32Array(tokens * slots),
      load: Int32Array.from(countLoad(chosen, experts)),
    },
    tokens,
    capacity,
    policy,
    Float64Array.from(score.flat()),
    kept,
    new Int32Array(tokens * slots),
    new Int32Array(experts + 1),
  );
  return toMatrix(kept, tokens, slots);
}

/** Takes one pair after the other from an expert over capacity: the lowest scored, or the last. */
function plainDrop(chosen: Matrix, score: Matrix, experts: number, capacity: number, policy: Policy): Matrix {
  const kept = chosen.map((row) => [...row]);
  for (let expert = 0; expert < experts; expert++) {
    for (;;) {
      const held = kept.flatMap((row, token) => row.flatMap((e, slot) => (e === expert ? [{ token, slot }] : [])));
      if (held.length <= capacity) break;
      let victim = held[0];
      for (const pair of held) {
        // Later pairs replace earlier ones of the same score: the lower index stays.
        const isLower = score[pair.token][pair.slot] <= score[victim.token][victim.slot];
        if (policy === "drop-position" || isLower) victim = pair;
      }
      kept[victim.token][victim.slot] = -1;
    }
  }
  return kept;
}

/** Choices of distinct experts with a few equal scores among them. */
const cases = fc
  .record({ tokens: fc.integer({ min: 1, max: 12 }), experts: fc.integer({ min: 1, max: 5 }) })
  .chain(({ tokens, experts }) =>
    fc.record({
      experts: fc.constant(experts),
      capacity: fc.integer({ min: 0, max: tokens }),
      chosen: fc.array(fc.shuffledSubarray([...Array(experts).keys()]), { minLength: tokens, maxLength: tokens }),
      score: fc.array(fc.array(fc.constantFrom(0.1, 0.2, 0.3), { minLength: experts, maxLength: experts }), {
        minLength: tokens,
        maxLength: tokens,
      }),
    }),
  )
  .map(({ chosen, experts, ...rest }) => ({
    ...rest,
    experts,
    chosen: chosen.map((row) => [...row, ...new Array<number>(experts - row.length).fill(-1)]),
  }));

describe("unassignedPairs", () => {
  it("is what a router left out, and 0 where it assigned as many or more", () => {
    expect(unassignedPairs([3, 2], 8)).toBe(3);
    expect(unassignedPairs([4, 4], 8)).toBe(0);
    expect(unassignedPairs([5, 5], 8)).toBe(0);
  });
});

describe("dropOverCapacity", () => {
  it("takes the lowest score first under `drop`", () => {
    expect(drop([[0], [0], [0]], [[0.2], [0.1], [0.3]], 1, 2, "drop")).toEqual([[0], [-1], [0]]);
  });

  it("keeps the earlier token of equal scores under `drop`", () => {
    expect(drop([[0], [0], [0]], [[0.2], [0.2], [0.2]], 1, 2, "drop")).toEqual([[0], [0], [-1]]);
  });

  it("takes the last to arrive first under `drop-position`, whatever the scores", () => {
    expect(drop([[0], [0], [0]], [[0.1], [0.2], [0.3]], 1, 2, "drop-position")).toEqual([[0], [0], [-1]]);
  });

  it("keeps everything within capacity, and slots without an expert as they are", () => {
    expect(
      drop(
        [
          [1, -1],
          [0, 1],
        ],
        [
          [0.5, 0],
          [0.5, 0.5],
        ],
        2,
        2,
        "drop",
      ),
    ).toEqual([
      [1, -1],
      [0, 1],
    ]);
  });

  it.each(["drop", "drop-position"] as const)("agrees under `%s` with dropping pair by pair", (policy) => {
    fc.assert(
      fc.property(cases, ({ chosen, score, experts, capacity }) => {
        expect(drop(chosen, score, experts, capacity, policy)).toEqual(
          plainDrop(chosen, score, experts, capacity, policy),
        );
      }),
      { seed: 1 },
    );
  });

  it.each(["drop", "drop-position"] as const)("drops under `%s` exactly the pairs over capacity", (policy) => {
    fc.assert(
      fc.property(cases, ({ chosen, score, experts, capacity }) => {
        const load = countLoad(chosen, experts);
        const left = countLoad(drop(chosen, score, experts, capacity, policy), experts);
        expect(left).toEqual(load.map((pairs) => Math.min(pairs, capacity)));
        const dropped = load.reduce((sum, pairs, expert) => sum + pairs - left[expert], 0);
        expect(dropped).toBe(pairsOverCapacity(load, capacity));
      }),
      { seed: 1 },
    );
  });

  it("never touches the assignment", () => {
    const expert = Int32Array.of(0, 0, 0);
    const load = Int32Array.of(3);
    const assignment = { slots: 1, expert, gate: Float32Array.of(1, 1, 1), load };
    const before = structuredClone(assignment);
    const score = Float64Array.of(0.3, 0.1, 0.2);
    dropOverCapacity(assignment, 3, 1, "drop", score, new Int32Array(3), new Int32Array(3), new Int32Array(2));
    expect(assignment).toEqual(before);
    expect(Array.from(score)).toEqual([0.3, 0.1, 0.2]);
  });
});
