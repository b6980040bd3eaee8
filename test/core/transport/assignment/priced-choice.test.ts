import { describe, expect, it } from "vitest";
import { createRandom } from "../../../../src/core/random.ts";
import { createPricedChoice } from "../../../../src/core/transport/assignment/priced-choice.ts";
import { largestIndices } from "../../../support/plain.ts";

/** What `choose` returns and writes for one row. */
function chooseOne(row: readonly number[], price: readonly number[], topK: number, load = row.map(() => 0)) {
  const choice = createPricedChoice(row.length, topK);
  // The row is the second of two, so that its offset counts.
  const scores = Float64Array.from([...row.map(() => 9), ...row]);
  const total = choice.choose(scores, row.length, Float64Array.from(price), load);
  return { total, experts: Array.from(choice.expert.subarray(0, choice.count())) };
}

describe("a choice at prices", () => {
  it("takes the K largest values, the best first, of those that are not negative", () => {
    const random = createRandom("values");
    for (let trial = 0; trial < 50; trial++) {
      const row = Array.from({ length: 7 }, () => random.uniform());
      const price = row.map(() => random.uniform());
      const values = row.map((score, e) => score - price[e]);
      const expected = largestIndices(values, 3).filter((e) => values[e] >= 0);
      const { total, experts } = chooseOne(row, price, 3);
      expect(experts).toEqual(expected);
      // The same differences, added in the same order.
      expect(total).toBe(expected.reduce((sum, e) => sum + values[e], 0));
    }
  });

  it("takes experts whose value is 0, and none below", () => {
    expect(chooseOne([0.5, 0.25, 0.75], [0.5, 0.5, 0.5], 3)).toEqual({ total: 0.25, experts: [2, 0] });
    expect(chooseOne([-1, -2], [0, 0], 1)).toEqual({ total: 0, experts: [] });
  });

  it("gives the last places to the least loaded of the experts that tie for them, the lowest of equally loaded", () => {
    expect(chooseOne([0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0], 2, [3, 1, 2, 0]).experts).toEqual([3, 1]);
    expect(chooseOne([0.5, 0.9, 0.5, 0.5], [0, 0, 0, 0], 2, [3, 7, 2, 2]).experts).toEqual([1, 2]);
    expect(chooseOne([0.5, 0.5, 0.4], [0, 0, 0], 2, [5, 9, 0]).experts).toEqual([0, 1]);
  });

  it("takes values for tied that differ by rounding, and no others", () => {
    const rounded = 0.3 - 0.2;
    expect(rounded).not.toBe(0.1);
    expect(chooseOne([0.3, 0.1], [0.2, 0], 1, [0, 1]).experts).toEqual([0]);
    expect(chooseOne([0.3, 0.1], [0.2, 0], 1, [1, 0]).experts).toEqual([1]);
    expect(chooseOne([0.1 + 1e-12, 0.1], [0, 0], 1, [1, 0]).experts).toEqual([0]);
  });
});
