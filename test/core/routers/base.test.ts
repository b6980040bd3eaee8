import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expertCapacity, scoreKinds } from "../../../src/core/assignment.ts";
import { backends } from "../../support/backends.ts";
import { bruteForceOptimum } from "../../support/brute-force.ts";
import { affinities, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

describe.each(backends)("base on $backend kernels", (kernels) => {
  it.each(scoreKinds)("has the best total of the %s affinities within the capacity, in order, as gates", (scores) => {
    const shape = { tokens: 5, experts: 3, topK: 2, capacityFactor: 1 };
    const capacity = expertCapacity(5, shape);
    const { route } = createRouterUnderTest("base", shape, { kernels, scores });
    for (const seed of ["a", "b", "c"]) {
      const logits = skewedLogits(seed, 5, 3, 2);
      const plain = affinities(toMatrix(logits, 5, 3), scores);
      const { expert, gate, load } = route(logits);
      let total = 0;
      expert.forEach((row, token) => {
        row.forEach((e, slot) => {
          const affinity = e < 0 ? 0 : plain[token][e];
          total += affinity;
          // Gates are float32: half a unit in the last place of numbers below 1, and the kernels' relative error of 1e-6.
          expect(Math.abs(gate[token][slot] - affinity)).toBeLessThan(2e-6);
          if (slot > 0) expect(gate[token][slot]).toBeLessThanOrEqual(gate[token][slot - 1]);
        });
      });
      // Sums of ten numbers below 1.
      expect(Math.abs(total - bruteForceOptimum(plain, 2, capacity))).toBeLessThan(1e-14 * 10);
      expect(Math.max(...load)).toBeLessThanOrEqual(capacity);
    }
  });
});

it("refuses prices of another number of experts", () => {
  const shape = { tokens: 4, experts: 3, topK: 1, capacityFactor: 1 };
  const { router } = createRouterUnderTest("base", shape);
  expect(() => router.restore({ price: [0, 0] })).toThrow(RangeError);
  expect(() => router.restore({ price: [0, 0, -1] })).toThrow();
});

describe("an empty slot", () => {
  const shapes = fc.record({
    tokens: fc.integer({ min: 1, max: 24 }),
    experts: fc.integer({ min: 2, max: 8 }),
    topK: fc.integer({ min: 1, max: 8 }),
    capacityFactor: fc.constantFrom(1, 1.1, 1.5),
  });
  // Softmax of ±200 is exactly 0 beside exactly 1; few distinct values make ties.
  const entry = fc.oneof(fc.constantFrom(-200, -1, 0, 1, 200), fc.double({ min: -6, max: 6, noNaN: true }));

  it.each([0, 0.01, 0.3])("is left nowhere beside an expert with room that the token lacks, with gap %d", (gap) => {
    fc.assert(
      fc.property(
        shapes,
        // Logits below 0 are assigned nowhere.
        fc.constantFrom(...scoreKinds.filter((kind) => kind !== "logits")),
        fc.array(entry, { minLength: 24 * 8, maxLength: 24 * 8 }),
        ({ tokens, experts, capacityFactor, ...sizes }, scores, entries) => {
          const shape = { tokens, experts, topK: Math.min(sizes.topK, experts), capacityFactor };
          const capacity = expertCapacity(tokens, shape);
          const { route } = createRouterUnderTest("base", shape, { scores, options: { gap } });
          const { expert, load } = route(Float32Array.from(entries.slice(0, tokens * experts)));
          expect(Math.max(...load)).toBeLessThanOrEqual(capacity);
          for (const row of expert) {
            if (!row.includes(-1)) continue;
            const open = load.flatMap((pairs, e) => (pairs < capacity && !row.includes(e) ? [e] : []));
            expect(open).toEqual([]);
          }
        },
      ),
      { seed: 11, numRuns: 300 },
    );
  });
});
