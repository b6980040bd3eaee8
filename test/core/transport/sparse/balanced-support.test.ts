import { expect, it } from "vitest";
import { createSupportBalancer } from "../../../../src/core/transport/sparse/balanced-support.ts";
import { createColumnCosts } from "../../../../src/core/transport/sparse/column-costs.ts";
import { createColumnSelector } from "../../../../src/core/transport/sparse/column-selection.ts";
import { createMembership } from "../../../../src/core/transport/sparse/support-moves.ts";
import { randomLogits } from "../../../support/random-logits.ts";

/** The least total cost of `size` tokens a column and at least `least` entries a row, column by column over row counts. */
function cheapestTotal(cost: Float64Array, tokens: number, experts: number, size: number, least: number): number {
  let best = new Map([["0".repeat(tokens), 0]]);
  for (let e = 0; e < experts; e++) {
    const next = new Map<string, number>();
    for (let mask = 0; mask < 2 ** tokens; mask++) {
      const chosen = Array.from({ length: tokens }, (_, t) => (mask >> t) & 1);
      if (chosen.reduce((sum, bit) => sum + bit, 0) !== size) continue;
      const price = chosen.reduce((sum, bit, t) => sum + bit * cost[e * tokens + t], 0);
      for (const [counts, total] of best) {
        const after = chosen.map((bit, t) => Math.min(least, Number(counts[t]) + bit)).join("");
        next.set(after, Math.min(next.get(after) ?? Number.POSITIVE_INFINITY, total + price));
      }
    }
    best = next;
  }
  return best.get(`${least}`.repeat(tokens))!;
}

it.each([
  { tokens: 6, experts: 3, size: 4, least: 2 },
  { tokens: 7, experts: 3, size: 5, least: 2 },
  { tokens: 7, experts: 4, size: 4, least: 2 },
  { tokens: 8, experts: 3, size: 3, least: 1 },
])("finds the cheapest support, with entries to spare or without: %o", ({ tokens, experts, size, least }) => {
  for (const seed of ["a", "b", "c", "d"]) {
    const costs = createColumnCosts(tokens, experts);
    // The first tokens are everyone's favourites, so that most rows must be supplied.
    const affinity = randomLogits(seed, tokens, experts).map((value, n) => value - Math.floor(n / experts));
    costs.read(affinity, tokens);
    const alpha = Float64Array.from({ length: tokens }, (_, t) => -2 * t);
    const membership = createMembership(tokens, experts);
    const selector = createColumnSelector(costs, alpha);
    createSupportBalancer(costs, selector, membership, experts * size).balance(size, least);
    const rowEntries = new Int32Array(tokens);
    let total = 0;
    for (let e = 0; e < experts; e++) {
      const column = membership.isMember.subarray(e * tokens, (e + 1) * tokens);
      expect(column.reduce((sum, bit) => sum + bit, 0)).toBe(size);
      column.forEach((bit, t) => {
        rowEntries[t] += bit;
        total += bit * costs.cost[e * tokens + t];
      });
    }
    expect(Math.min(...rowEntries)).toBeGreaterThanOrEqual(least);
    // Sums of at most 16 costs below 10.
    expect(total).toBeCloseTo(cheapestTotal(costs.cost, tokens, experts, size, least), 10);
  }
});
