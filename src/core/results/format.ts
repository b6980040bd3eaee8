import { unprintable } from "../escape-unprintable.ts";
import type { Interval } from "./interval.ts";

const digits = 4;
const shortNumber = new Intl.NumberFormat("en-US", { maximumSignificantDigits: digits, useGrouping: false });
/** Below this the zeros behind the point would be more than the digits after them. */
const leastWritten = 1e-4;

/** A number with four significant digits for people's eyes; a dash if there is none. */
export function formatNumber(value: number | null): string {
  if (value === null) return "–";
  const isTiny = value !== 0 && Math.abs(value) < leastWritten;
  return isTiny ? value.toExponential(digits - 1) : shortNumber.format(value);
}

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

const mostCharacters = 60;

/**
 * Text of a scenario or a result file as one line for people's eyes: control, formatting and other invisible characters
 * by their code (`\u{1b}`), and no more than 60 characters.
 */
export function printable(text: string): string {
  const shown = text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
  const characters = Array.from(shown);
  return characters.length <= mostCharacters ? shown : `${characters.slice(0, mostCharacters - 1).join("")}…`;
}
