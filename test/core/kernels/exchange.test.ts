import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createRandom } from "../../../src/core/random.ts";
import { backends } from "../../support/backends.ts";

/** An exchange graph's node with `pairs` pairs in a list that jumps about, scores rounded so that equals occur. */
function node(kernels: Kernels, tokens: number, experts: number, topK: number, pairs: number) {
  const random = createRandom(`exchange ${tokens} ${experts} ${topK} ${pairs}`);
  const joining = kernels.allocateFloat64(tokens * experts);
  for (let i = 0; i < joining.length; i++) {
    joining[i] = random.uniform() < 0.1 ? Number.NEGATIVE_INFINITY : Math.round(16 * random.uniform()) / 16;
  }
  const held = kernels.allocateFloat64(tokens * topK);
  for (let i = 0; i < held.length; i++) held[i] = Math.round(16 * random.uniform()) / 16;
  const next = kernels.allocateInt32(tokens * topK).fill(-1);
  const order = Array.from({ length: tokens * topK }, (_, pair) => pair)
    .map((pair) => ({ pair, key: random.uniform() }))
    .sort((a, b) => a.key - b.key)
    .map(({ pair }) => pair)
    .slice(0, pairs);
  for (let i = 0; i + 1 < order.length; i++) next[order[i]] = order[i + 1];
  const loss = kernels.allocateFloat64(experts + 1);
  const mover = kernels.allocateInt32(experts + 1);
  kernels.leastLosses(joining, held, order[0] ?? -1, next, topK, experts, loss, mover);
  return { joining, held, order, loss, mover };
}

describe.each(backends)("leastLosses, $backend", (kernels) => {
  it.each([
    [40, 1, 1, 40],
    [40, 3, 2, 30],
    [64, 8, 3, 60],
    [64, 17, 4, 200],
    [16, 30, 2, 1],
  ])(
    "finds the cheapest mover to every expert and to the ground (%i × %i, top-%i, %i pairs)",
    (tokens, experts, topK, pairs) => {
      const { joining, held, order, loss, mover } = node(kernels, tokens, experts, topK, pairs);
      for (let e = 0; e <= experts; e++) {
        const lost = order.map(
          (pair) => held[pair] - (e === experts ? 0 : joining[Math.floor(pair / topK) * experts + e]),
        );
        const least = Math.min(...lost);
        // Sixteenths are exact in float64, so nothing is rounded.
        expect(loss[e]).toBe(least);
        expect(mover[e]).toBe(least === Number.POSITIVE_INFINITY ? -1 : order[lost.indexOf(least)]);
      }
    },
  );

  it("knows no way from a node without pairs", () => {
    const { loss, mover } = node(kernels, 4, 6, 2, 0);
    expect(Array.from(loss)).toEqual(Array(7).fill(Number.POSITIVE_INFINITY));
    expect(Array.from(mover)).toEqual(Array(7).fill(-1));
  });
});
