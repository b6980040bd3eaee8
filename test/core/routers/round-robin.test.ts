import { describe, expect, it } from "vitest";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

describe("round-robin", () => {
  it("deals slots to the experts in turn, with gates 1/K", () => {
    const shape = { tokens: 3, experts: 4, topK: 2, capacityFactor: 1 };
    const { expert, gate, load } = createRouterUnderTest("round-robin", shape).route(new Float32Array(12));
    expect(expert).toEqual([
      [0, 1],
      [2, 3],
      [0, 1],
    ]);
    expect(new Set(gate.flat())).toEqual(new Set([0.5]));
    expect(load).toEqual([2, 2, 1, 1]);
  });

  it("takes the turn on into the next batch, so that loads over all steps differ by at most 1", () => {
    const shape = { tokens: 3, experts: 5, topK: 3, capacityFactor: 1 };
    const router = createRouterUnderTest("round-robin", shape);
    const total = new Array<number>(5).fill(0);
    for (let step = 0; step < 7; step++) {
      const { load } = router.route(new Float32Array(step === 6 ? 10 : 15));
      load.forEach((pairs, e) => {
        total[e] += pairs;
      });
      expect(Math.max(...total) - Math.min(...total)).toBeLessThanOrEqual(1);
    }
  });

  it("refuses to continue at an expert it does not have", () => {
    const shape = { tokens: 1, experts: 3, topK: 1, capacityFactor: 1 };
    const { router } = createRouterUnderTest("round-robin", shape);
    expect(() => router.restore({ nextExpert: 3 })).toThrow(RangeError);
    expect(() => router.restore({})).toThrow();
  });
});
