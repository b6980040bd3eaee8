import { expect } from "vitest";

/** Below it float32 has fewer digits, and programs may make 0 of it. */
const smallestNormal = 2 ** -126;
/** Four roundings to float32, of what they are relative to. */
export const fourRoundings = 2 ** -22;

/** How an error is measured, and what is tolerated of it where `expected` is to be found. */
export interface Tolerance {
  error(difference: number, expected: number): number;
  most(expected: number): number;
}

/** At most `most`, relative to what is expected. */
export function relative(most: number): Tolerance {
  return { error: (difference, expected) => difference / Math.abs(expected), most: () => most };
}

/** At most `most` itself, and `share` of what is expected. */
export function absolute(most: number, share = fourRoundings): Tolerance {
  return { error: (difference) => difference, most: (expected) => most + share * Math.abs(expected) };
}

/**
 * For p = e^x / Σ or a gate, relative to it: 2e-6, and four roundings of x, which is at most |log p| from the largest
 * exponent of the row.
 */
export const ofExponentials: Tolerance = {
  error: (difference, expected) => difference / Math.abs(expected),
  most: (expected) => 2e-6 + fourRoundings * Math.abs(Math.log(expected)),
};

const measured = new Map<string, { error: number; share: number }>();

/** Holds `actual` to `expected`, entry by entry, and notes under `name` how much of the tolerance was needed. */
export function hold(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { error, most }: Tolerance,
): void {
  const worst = measured.get(name) ?? { error: 0, share: 0 };
  measured.set(name, worst);
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (difference <= smallestNormal) continue;
    const found = error(difference, expected[i]);
    if (!(found <= most(expected[i]))) expect.fail(`${name}: entry ${i} is ${actual[i]}, expected is ${expected[i]}`);
    worst.error = Math.max(worst.error, found);
    worst.share = Math.max(worst.share, found / most(expected[i]));
  }
}

/** Prints what {@link hold} noted, where `PARITY` is set. */
export function printParity(): void {
  if (process.env.PARITY === undefined) return;
  for (const [name, { error, share }] of measured) {
    process.stdout.write(`${name}: ${error.toExponential(1)}, ${Math.ceil(100 * share)} % of what is tolerated\n`);
  }
}
