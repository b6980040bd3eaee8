import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { createDistinctExperts } from "../../../../src/core/routers/parts/distinct-experts.ts";
import { equalCounts } from "../../../support/chi-square.ts";

/** Assigns the token at place 1 of a batch of three, whose logits are `row`; checks that the others are left alone. */
function assign(distinct: ReturnType<typeof createDistinctExperts>, row: number[], topK: number, draw: () => number) {
  const logits = Float32Array.from([row, row, row].flat());
  const assignment = {
    slots: topK,
    expert: new Int32Array(3 * topK).fill(-9),
    gate: new Float32Array(3 * topK).fill(-9),
    load: new Int32Array(row.length),
  };
  distinct.assign(draw, { step: 0, tokens: 3, experts: row.length, logits }, 1, assignment);
  for (const array of [assignment.expert, assignment.gate]) {
    expect([...array.subarray(0, topK), ...array.subarray(2 * topK)]).toEqual(new Array(2 * topK).fill(-9));
  }
  return {
    expert: Array.from(assignment.expert.subarray(topK, 2 * topK)),
    gate: Array.from(assignment.gate.subarray(topK, 2 * topK)),
    load: Array.from(assignment.load),
  };
}

function pick(row: number[], topK: number, draws: number[]) {
  let next = 0;
  return assign(createDistinctExperts(row.length, topK), row, topK, () => draws[next++]);
}

const most = 2 ** 32 - 1;

describe("createDistinctExperts", () => {
  it("takes the first experts in order when every draw is 0, the last when every draw is the largest", () => {
    expect(pick([0, 0, 0, 0, 0], 3, [0, 0, 0]).expert).toEqual([0, 1, 2]);
    // A Fisher-Yates shuffle puts the swapped-out first expert at the end.
    const { expert, gate, load } = pick([0, 0, 0, 0, 0], 3, [most, most, most]);
    expect(expert).toEqual([4, 0, 1]);
    expect(gate).toEqual(new Array(3).fill(Math.fround(1 / 3)));
    expect(load).toEqual([1, 1, 0, 0, 1]);
  });

  it("passes over disabled experts, and leaves slots empty where too few are enabled", () => {
    const row = [-Infinity, 0, -Infinity, 0, 0];
    expect(pick(row, 2, [0, 0, 0, 0, 0])).toEqual({ expert: [1, 3], gate: [0.5, 0.5], load: [0, 1, 0, 1, 0] });
    const { expert, gate } = pick([-Infinity, -Infinity, 7, -Infinity], 2, [0, 0, 0, 0]);
    expect(expert).toEqual([2, -1]);
    expect(gate).toEqual([0.5, 0]);
  });

  it("makes each ordered choice of two out of four equally often", () => {
    const random = createRandom("pairs");
    const distinct = createDistinctExperts(4, 2);
    const counts = new Map<string, number>();
    for (let draw = 0; draw < 12_000; draw++) {
      const pair = String(assign(distinct, [0, 0, 0, 0], 2, random.uint32).expert);
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    expect(counts.size).toBe(12);
    const { statistic, limit } = equalCounts([...counts.values()]);
    expect(statistic).toBeLessThan(limit);
  });

  it("depends on its own draws alone, not on the choices before", () => {
    const distinct = createDistinctExperts(6, 4);
    const draws = [2 ** 31, 2 ** 30, 7, most];
    const choose = () => {
      let next = 0;
      return assign(distinct, [0, 0, 0, 0, 0, 0], 4, () => draws[next++]).expert;
    };
    const first = choose();
    expect(choose()).toEqual(first);
    expect(new Set(first).size).toBe(4);
  });
});
