/** Sum whose rounding error does not grow with the number of terms. */
export interface CompensatedSum {
  add(value: number): void;
  value(): number;
}

/**
 * Second-order compensated summation: the rounding errors of the additions are summed, and so are the rounding errors of
 * that sum. The error is one rounding plus about n³·2⁻¹⁵⁹ of Σ|x|, however much the magnitudes differ. An exact sum such as
 * d3-array's has room for 32 parts only, and returns NaN if the numbers need more.
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

/** The rounding error of `sum` = a + b (Neumaier 1974). */
function lostIn(a: number, b: number, sum: number): number {
  return Math.abs(a) >= Math.abs(b) ? a - sum + b : b - sum + a;
}
