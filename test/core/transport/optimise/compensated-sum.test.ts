import fc from "fast-check";
import { expect, it } from "vitest";
import { createCompensatedSum } from "../../../../src/core/transport/optimise/compensated-sum.ts";

function sumOf(values: Iterable<number>): number {
  const sum = createCompensatedSum();
  for (const value of values) sum.add(value);
  return sum.value();
}

it("is right to the last digit where numbers cancel and where they are equal", () => {
  expect(sumOf([1, 1e100, 1, -1e100])).toBe(2);
  expect(sumOf(new Array(10_000).fill(0.1))).toBe(1000);
  expect(sumOf([])).toBe(0);
});

it("stays a number for numbers of every size, more than a sum of 32 parts can keep", () => {
  const values = Array.from({ length: 64 }, (_, i) => 2 ** (-17 * i) * (1 + 2 ** -52));
  const exact = 1 + 2 ** -17 + 2 ** -34 + 2 ** -51 + 2 ** -52;
  expect(sumOf(values)).toBe(exact);
  expect(sumOf(values.toReversed())).toBe(exact);
});

it("is what integers too large for a number come to", () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { maxLength: 50 }), fc.integer({ min: 0, max: 80 }), (integers, shift) => {
      const values = integers.flatMap((n, i) => (i % 2 === 0 ? [n * 2 ** shift] : [n]));
      const exact = integers.reduce((sum, n, i) => sum + (i % 2 === 0 ? BigInt(n) << BigInt(shift) : BigInt(n)), 0n);
      expect(sumOf(values)).toBe(Number(exact) + 0);
    }),
  );
});
