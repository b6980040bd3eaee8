import { describe, expect, it } from "vitest";
import { equalCounts } from "../../support/chi-square.ts";
import { countLoad } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

const shape = { tokens: 8000, experts: 16, topK: 2, capacityFactor: 1 };
const logits = randomLogits("hash", shape.tokens, shape.experts);

describe("hash", () => {
  it("sends equal rows to equal experts, in any batch and at any place in it", () => {
    const few = { tokens: 6, experts: 5, topK: 2, capacityFactor: 1 };
    const router = createRouterUnderTest("hash", few);
    const row = randomLogits("row", 1, 5);
    const batch = randomLogits("others", 6, 5);
    batch.set(row, 5);
    batch.set(row, 20);
    const { expert } = router.route(batch);
    expect(expert[4]).toEqual(expert[1]);
    expect(router.route(row).expert).toEqual([expert[1]]);
  });

  it("spreads different rows evenly over the experts, in each slot", () => {
    const { expert, load } = createRouterUnderTest("hash", shape).route(logits);
    for (const slot of [0, 1]) {
      const counts = countLoad(
        expert.map((row) => [row[slot]]),
        shape.experts,
      );
      const { statistic, limit } = equalCounts(counts);
      expect(statistic).toBeLessThan(limit);
    }
    expect(load).toEqual(countLoad(expert, shape.experts));
  });

  it("spreads rows that differ in one small number evenly too", () => {
    const similar = new Float32Array(shape.tokens * shape.experts);
    for (let token = 0; token < shape.tokens; token++) similar[token * shape.experts + 3] = token;
    const { expert } = createRouterUnderTest("hash", shape).route(similar);
    const pairs = new Array<number>(256).fill(0);
    for (const [first, second] of expert) pairs[first * 16 + second] += 1;
    const { statistic, limit } = equalCounts(pairs.filter((_, pair) => Math.floor(pair / 16) !== pair % 16));
    expect(statistic).toBeLessThan(limit);
  });

  it("sends rows of the same numbers in another order to unrelated experts", () => {
    const reversed = logits.map((_, entry) => {
      const column = entry % shape.experts;
      return logits[entry - column + shape.experts - 1 - column];
    });
    const router = createRouterUnderTest("hash", shape);
    const forwards = router.route(logits).expert;
    const backwards = router.route(reversed).expert;
    const same = forwards.filter((row, token) => row[0] === backwards[token][0]).length;
    // Unrelated choices agree on one token in sixteen; five standard errors are √(8000 · 15) / 16 · 5 ≈ 108.
    expect(Math.abs(same - shape.tokens / shape.experts)).toBeLessThan(109);
  });

  it("gives each token K distinct experts with gates 1/K", () => {
    const { expert, gate } = createRouterUnderTest("hash", { ...shape, topK: 5 }).route(logits);
    for (const row of expert) expect(new Set(row).size).toBe(5);
    expect(new Set(gate.flat())).toEqual(new Set([Math.fround(0.2)]));
  });

  it("hashes differently for another seed", () => {
    const first = createRouterUnderTest("hash", shape, { seed: "one" }).route(logits);
    const second = createRouterUnderTest("hash", shape, { seed: "two" }).route(logits);
    const same = first.expert.filter((row, token) => row[0] === second.expert[token][0]).length;
    // Unrelated choices agree on one token in sixteen; five standard errors are √(8000 · 15) / 16 · 5 ≈ 108.
    expect(Math.abs(same - shape.tokens / shape.experts)).toBeLessThan(109);
  });
});
