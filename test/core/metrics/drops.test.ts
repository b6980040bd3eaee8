import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pairsOverCapacity } from "../../../src/core/assignment.ts";
import {
  dropOverCapacity,
  rerouteOverCapacity,
  unassignedPairs,
  unroutedFraction,
} from "../../../src/core/metrics/drops.ts";
import { countLoad, type Matrix, toMatrix } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";

type Policy = "drop" | "drop-position";

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

/** Drops by score, then moves what was dropped. `logits` also rank the pairs: S rises with the logit. */
function reroute(chosen: Matrix, logits: Matrix, capacity: number, depth = 99): Matrix {
  const [tokens, slots, experts] = [chosen.length, chosen[0].length, logits[0].length];
  const score = chosen.map((row, token) => row.map((e) => (e < 0 ? 0 : logits[token][e])));
  const kept = Int32Array.from(drop(chosen, score, experts, capacity, "drop").flat());
  const assignment = {
    slots,
    expert: Int32Array.from(chosen.flat()),
    gate: new Float32Array(tokens * slots),
    load: Int32Array.from(countLoad(chosen, experts)),
  };
  const batch = { step: 0, tokens, experts, logits: Float32Array.from(logits.flat()) };
  rerouteOverCapacity(
    batch,
    assignment,
    capacity,
    depth,
    Float64Array.from(score.flat()),
    kept,
    new Float64Array(experts),
  );
  return toMatrix(kept, tokens, slots);
}

describe("rerouteOverCapacity", () => {
  it("moves the lowest pairs to the token's next best expert with room", () => {
    // All want expert 0, which takes two; tokens 1 and 0 are its lowest. Each prefers expert 1, which has room for both.
    const logits = [
      [6, 5, 1],
      [5, 4, 3],
      [9, 1, 0],
      [8, 1, 0],
    ];
    expect(reroute([[0], [0], [0], [0]], logits, 2)).toEqual([[1], [1], [0], [0]]);
  });

  it("serves the lowest pair first where there is room for one", () => {
    const logits = [
      [6, 5, 1, 0],
      [5, 4, 3, 0],
      [9, 1, 0, 0],
    ];
    // Expert 1 goes to token 1, whose pair is the lowest; token 0 takes its next best.
    expect(reroute([[0], [0], [0]], logits, 1)).toEqual([[2], [1], [0]]);
  });

  it("drops a pair that finds no room among the next `depth` experts", () => {
    const logits = [
      [6, 5, 1, 0],
      [5, 4, 3, 0],
      [9, 1, 0, 0],
    ];
    expect(reroute([[0], [0], [0]], logits, 1, 1)).toEqual([[-1], [1], [0]]);
    expect(reroute([[0], [0], [0]], logits, 1, 2)).toEqual([[2], [1], [0]]);
    // One expert at capacity 1 has no room for others at all.
    expect(reroute([[0], [0]], [[2], [1]], 1)).toEqual([[0], [-1]]);
  });

  it("gives a token no expert twice, none that is disabled, and breaks ties to the lower index", () => {
    const logits = [
      [5, 4, 1, 1, Number.NEGATIVE_INFINITY],
      [6, 5, 0, 0, 0],
      [7, -1, 0, 0, 0],
    ];
    const chosen = [
      [0, 1],
      [0, 1],
      [0, 2],
    ];
    // Expert 0 keeps tokens 1 and 2; token 0's next best with room are 2 and 3, which tie.
    expect(reroute(chosen, logits, 2)).toEqual([
      [2, 1],
      [0, 1],
      [0, 2],
    ]);
  });

  it("keeps every load within the capacity, moves only what is over it, and drops only without room", () => {
    fc.assert(
      fc.property(cases, fc.nat(), ({ chosen, experts, capacity }, seed) => {
        const logits = toMatrix(randomLogits(`reroute ${seed}`, chosen.length, experts), chosen.length, experts);
        const kept = reroute(chosen, logits, capacity);
        const [before, after] = [countLoad(chosen, experts), countLoad(kept, experts)];
        expect(after.every((load, e) => load <= capacity && load >= Math.min(before[e], capacity))).toBe(true);
        for (const [token, row] of kept.entries()) {
          const held = row.filter((e) => e >= 0);
          expect(new Set(held).size).toBe(held.length);
          for (const [slot, e] of row.entries()) {
            if (e === chosen[token][slot]) continue;
            expect(before[chosen[token][slot]]).toBeGreaterThan(capacity);
            if (e >= 0) {
              expect(chosen[token]).not.toContain(e);
              continue;
            }
            const free = after.flatMap((load, other) => (load < capacity ? [other] : []));
            expect(free.filter((other) => !held.includes(other) && !chosen[token].includes(other))).toEqual([]);
          }
        }
      }),
      { seed: 1 },
    );
  });
});

it("counts the tokens without any expert", () => {
  expect(unroutedFraction(Int32Array.of(0, -1, -1, -1, -1, 2, -1, -1), 2, 4)).toBe(0.5);
  expect(unroutedFraction(Int32Array.of(0, -1, -1, -1), 2, 1)).toBe(0);
});
