import type { Interval } from "./results/interval.ts";
import { formatNumber } from "./table.ts";

/** Digits that the half width is given with; the mean ends where it ends. */
const halfWidthDigits = 2;
/** With more digits behind the point than these, powers of ten are shorter. */
const mostDecimals = 6;

/**
 * `0.312 ± 0.021`: a mean with the digits that its confidence interval leaves it; the mean alone for a single value, and
 * a dash where there is none. `unit` multiplies both, 100 for percent.
 */
export function formatInterval(interval: Interval | null, unit = 1): string {
  if (interval === null) return formatNumber(null);
  const mean = unit * interval.mean;
  if (interval.halfWidth === null) return formatNumber(mean);
  const halfWidth = unit * interval.halfWidth;
  const decimals = Math.max(0, halfWidthDigits - 1 - Math.floor(Math.log10(halfWidth)));
  // A spread far below what is written, as of sums that only rounding sets apart, has no digits to show.
  if (halfWidth === 0 || decimals > mostDecimals) return `${formatNumber(mean)} ± ${formatNumber(halfWidth)}`;
  return `${mean.toFixed(decimals)} ± ${halfWidth.toFixed(decimals)}`;
}
