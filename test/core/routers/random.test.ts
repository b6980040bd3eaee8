import { describe, expect, it } from "vitest";
import { equalCounts } from "../../support/chi-square.ts";
import { countLoad } from "../../support/plain.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

const shape = { tokens: 6000, experts: 8, topK: 3, capacityFactor: 1 };
const zeros = new Float32Array(shape.tokens * shape.experts);

describe("random", () => {
  it("chooses uniformly in each slot, with gates 1/K", () => {
    const { expert, gate, load } = createRouterUnderTest("random", shape).route(zeros);
    for (const slot of [0, 1, 2]) {
      const counts = countLoad(
        expert.map((row) => [row[slot]]),
        shape.experts,
      );
      const { statistic, limit } = equalCounts(counts);
      expect(statistic).toBeLessThan(limit);
    }
    for (const row of expert) expect(new Set(row).size).toBe(3);
    expect(new Set(gate.flat())).toEqual(new Set([Math.fround(1 / 3)]));
    expect(load).toEqual(countLoad(expert, shape.experts));
  });

  it("chooses anew for every batch, whatever the logits, and the same for the same seed", () => {
    const router = createRouterUnderTest("random", shape, { seed: "one" });
    const again = createRouterUnderTest("random", shape, { seed: "one" });
    const first = router.route(zeros).expert;
    expect(again.route(zeros.map((_, entry) => entry % 7)).expert).toEqual(first);
    expect(router.route(zeros).expert).not.toEqual(first);
    expect(createRouterUnderTest("random", shape, { seed: "two" }).route(zeros).expert).not.toEqual(first);
  });
});
