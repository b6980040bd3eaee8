import fc from "fast-check";
import { expect, test } from "vitest";
import { createAliasTable } from "../../../../src/core/streams/parts/alias-table.ts";

/** The measure of the uniforms that give each index, by a grid of `cells` midpoints per column. */
function measure(table: ReturnType<typeof createAliasTable>, count: number, cells: number): Float64Array {
  const share = new Float64Array(count);
  for (let cell = 0; cell < count * cells; cell++)
    share[table.draw((cell + 0.5) / (count * cells))] += 1 / (count * cells);
  return share;
}

const weightLists = fc
  .array(fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1e3, noNaN: true })), { minLength: 1, maxLength: 20 })
  .filter((weights) => weights.some((weight) => weight > 0));

test("an index is drawn by as large a part of [0, 1) as its weight", () => {
  fc.assert(
    fc.property(weightLists, (weights) => {
      const cells = 1000;
      const share = measure(createAliasTable(weights), weights.length, cells);
      const total = weights.reduce((sum, weight) => sum + weight);
      // Each of the columns cuts at most one cell in two, so that the grid errs by at most one cell a column.
      for (const [index, weight] of weights.entries()) {
        expect(Math.abs(share[index] - weight / total)).toBeLessThan(1 / cells + 1e-9);
        if (weight === 0) expect(share[index]).toBe(0);
      }
    }),
  );
});

test("new weights leave nothing of the old ones", () => {
  fc.assert(
    fc.property(weightLists, (weights) => {
      const table = createAliasTable(weights.map((_, index) => index + 1));
      table.setWeights(weights);
      expect(measure(table, weights.length, 50)).toEqual(measure(createAliasTable(weights), weights.length, 50));
    }),
  );
});

test("the ends of [0, 1) stand for an index", () => {
  const table = createAliasTable([1, 2, 3]);
  for (const uniform of [0, 1 - 2 ** -53]) expect([0, 1, 2]).toContain(table.draw(uniform));
});
