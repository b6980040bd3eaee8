/** A sum that equal numbers do not add up their rounding in. */
export interface CompensatedSum {
  add(value: number): void;
  value(): number;
}

/**
 * Second-order compensated summation: what each addition rounds away is summed, and so is what that sum rounds away. The
 * error is that of one rounding, and about n³·2⁻¹⁵⁹ of Σ|x|, however far apart the numbers are. A sum that keeps every bit,
 * as d3-array's, has no place for more than 32 parts, and gives NaN where numbers down to the smallest need more.
 *
 * Source: Klein 2006, A generalized Kahan–Babuška summation algorithm.
 */
export function createCompensatedSum(): CompensatedSum {
  let sum = 0;
  let lost = 0;
  let lostOfLost = 0;
  return {
    add(value) {
      const next = sum + value;
      const rounded = lostIn(sum, value, next);
      sum = next;
      const nextLost = lost + rounded;
      lostOfLost += lostIn(lost, rounded, nextLost);
      lost = nextLost;
    },
    value: () => sum + (lost + lostOfLost),
  };
}

/** What `sum` = a + b leaves out (Neumaier 1974). */
function lostIn(a: number, b: number, sum: number): number {
  return Math.abs(a) >= Math.abs(b) ? a - sum + b : b - sum + a;
}
