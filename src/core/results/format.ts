import { unprintable } from "../words.ts";
import type { Interval } from "./interval.ts";

const digits = 4;
const shortNumber = new Intl.NumberFormat("en-US", { maximumSignificantDigits: digits, useGrouping: false });
/** Below this, there would be more zeros after the point than digits after them. */
const leastWritten = 1e-4;

/** Formats a number with four significant digits for people; a dash if there is none. */
export function formatNumber(value: number | null): string {
  if (value === null) return "–";
  const isTiny = value !== 0 && Math.abs(value) < leastWritten;
  return isTiny ? value.toExponential(digits - 1) : shortNumber.format(value);
}

/** Significant digits of the half width; the mean ends at the same digit. */
const halfWidthDigits = 2;
/** With more digits after the point, powers of ten are shorter. */
const mostDecimals = 6;

/**
 * Formats `0.312 ± 0.021`: a mean with the digits that its confidence interval justifies, only the mean for a single
 * value, and a dash if there is none. `unit` multiplies both, 100 for percent.
 */
export function formatInterval(interval: Interval | null, unit = 1): string {
  if (interval === null) return formatNumber(null);
  const mean = unit * interval.mean;
  if (interval.halfWidth === null) return formatNumber(mean);
  // Values that differ by rounding alone are equal.
  const isRounding = interval.halfWidth <= 1e-12 * Math.abs(interval.mean) || interval.halfWidth < 1e-15;
  const halfWidth = isRounding ? 0 : unit * interval.halfWidth;
  const decimals = Math.max(0, halfWidthDigits - 1 - Math.floor(Math.log10(halfWidth)));
  // A spread far below the digits shown, as between sums that differ only by rounding, has no digits to show.
  if (halfWidth === 0 || decimals > mostDecimals) return `${formatNumber(mean)} ± ${formatNumber(halfWidth)}`;
  // Nothing is left of a minus sign before zeros.
  return `${mean.toFixed(decimals).replace(/^-(?=[0.]*$)/, "")} ± ${halfWidth.toFixed(decimals)}`;
}

const mostCharacters = 60;

/**
 * Formats text of a scenario or a result file as one line for people: control, formatting and other invisible
 * characters as codes (`\u{1b}`), and at most 60 characters.
 */
export function printable(text: string): string {
  const shown = text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
  const characters = Array.from(shown);
  return characters.length <= mostCharacters ? shown : `${characters.slice(0, mostCharacters - 1).join("")}…`;
}
