import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { createDistinctExperts } from "../../../../src/core/routers/parts/distinct-experts.ts";
import { equalCounts } from "../../../support/chi-square.ts";

function pick(experts: number, count: number, draws: number[]): number[] {
  const expert = new Int32Array(count);
  let next = 0;
  createDistinctExperts(experts).pick(() => draws[next++], count, expert, 0);
  return Array.from(expert);
}

describe("createDistinctExperts", () => {
  it("takes the first experts in order when every draw is 0, the last when every draw is the largest", () => {
    expect(pick(5, 3, [0, 0, 0])).toEqual([0, 1, 2]);
    const most = 2 ** 32 - 1;
    // A Fisher-Yates shuffle puts the swapped-out first expert at the end.
    expect(pick(5, 3, [most, most, most])).toEqual([4, 0, 1]);
  });

  it("makes each ordered choice of two out of four equally often", () => {
    const random = createRandom("pairs");
    const distinct = createDistinctExperts(4);
    const expert = new Int32Array(2);
    const counts = new Map<string, number>();
    for (let draw = 0; draw < 12_000; draw++) {
      distinct.pick(random.uint32, 2, expert, 0);
      const pair = String(expert);
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    expect(counts.size).toBe(12);
    const { statistic, limit } = equalCounts([...counts.values()]);
    expect(statistic).toBeLessThan(limit);
  });

  it("depends on its own draws alone, not on the choices before", () => {
    const distinct = createDistinctExperts(6);
    const draws = [2 ** 31, 2 ** 30, 7, 2 ** 32 - 1];
    const choose = () => {
      const expert = new Int32Array(4);
      let next = 0;
      distinct.pick(() => draws[next++], 4, expert, 0);
      return Array.from(expert);
    };
    const first = choose();
    expect(choose()).toEqual(first);
    expect(new Set(first).size).toBe(4);
  });

  it("writes at the offset and nowhere else", () => {
    const expert = new Int32Array(6).fill(-9);
    createDistinctExperts(3).pick(() => 0, 2, expert, 2);
    expect(Array.from(expert)).toEqual([-9, -9, 0, 1, -9, -9]);
  });
});
