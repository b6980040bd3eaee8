import { expect, it } from "vitest";
import { createBlockMeans } from "../../../src/core/diagnosis/block-means.ts";
import { confidenceInterval } from "../../../src/core/results/interval.ts";

function intervalOf(values: readonly number[]) {
  const means = createBlockMeans();
  for (const value of values) means.add(value);
  return means.interval();
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const blocks = (values: readonly number[], size: number) =>
  Array.from({ length: Math.ceil(values.length / size) }, (_, i) => values.slice(i * size, (i + 1) * size));
const series = (length: number) => Array.from({ length }, (_, i) => Math.sin(i / 9) + ((i * 7919) % 13) / 5);

it("takes up to 16 values as they are", () => {
  const { mean, halfWidth } = confidenceInterval(series(16))!;
  expect(intervalOf(series(16))!.mean).toBeCloseTo(mean, 12);
  expect(intervalOf(series(16))!.halfWidth).toBeCloseTo(halfWidth!, 12);
});

it.each([
  [32, 2],
  [100, 8],
  [1000, 64],
])("takes the means of blocks of %i values", (length, size) => {
  const values = series(length);
  const own = blocks(values, size);
  const last = own.at(-1)!;
  if (2 * last.length < size) own.splice(-2, 2, [...own.at(-2)!, ...last]);
  const found = intervalOf(values)!;
  expect(found.count).toBe(length);
  expect(found.mean).toBeCloseTo(meanOf(values), 12);
  expect(found.halfWidth).toBeCloseTo(confidenceInterval(own.map(meanOf))!.halfWidth!, 12);
});

it("is wider than for independent values if neighbours are alike, and covers their mean", () => {
  const slow = Array.from({ length: 800 }, (_, i) => Math.sin(i / 60));
  expect(intervalOf(slow)!.halfWidth!).toBeGreaterThan(3 * confidenceInterval(slow)!.halfWidth!);
});

it("knows nothing of the precision of one value, and nothing without values", () => {
  expect(intervalOf([3])).toEqual({ mean: 3, halfWidth: null, count: 1 });
  expect(intervalOf([])).toBe(null);
  expect(intervalOf([Number.NaN])).toBe(null);
});
