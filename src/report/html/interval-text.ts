import type { Interval } from "../results/interval.ts";
import { formatNumber } from "../table.ts";

/** Of the half width, which decides how many of the mean's digits mean anything. */
const significantDigits = 2;
const mostDecimals = 6;

/** `0.1234 ± 0.0056`: the mean to the decimals of the half width's second digit; the mean alone where there is no interval. */
export function intervalText({ mean, halfWidth }: Interval): string {
  if (halfWidth === null) return formatNumber(mean);
  const decimals = halfWidth === 0 ? 0 : significantDigits - 1 - Math.floor(Math.log10(halfWidth));
  // A spread far below what is written, as of sums that only rounding sets apart, has no digits to show.
  if (halfWidth === 0 || decimals > mostDecimals) return `${formatNumber(mean)} ± ${formatNumber(halfWidth)}`;
  return `${mean.toFixed(Math.max(0, decimals))} ± ${halfWidth.toFixed(Math.max(0, decimals))}`;
}
