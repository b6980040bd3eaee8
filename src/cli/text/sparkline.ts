import { max, mean, range } from "d3-array";
import sparkly from "sparkly";

/** Maximum characters of a sparkline. */
const sparklineWidth = 20;

/** Lines of blocks, all on one scale from 0 to `top`, so that they are comparable. */
export interface Sparklines {
  readonly lines: readonly string[];
  readonly top: number;
}

/**
 * Draws each of `series`, non-negative values over the steps, in at most 20 characters. If there are more steps, each character
 * shows the mean of neighbouring steps. Null, a step without a value, is in no mean; a space shows that there is none.
 */
export function sparklines(series: readonly (readonly (number | null)[])[]): Sparklines {
  const binned = series.map((values) => binMeans(values, Math.min(values.length, sparklineWidth)));
  const top = max(binned, (bins) => max(bins)) ?? 0;
  return { lines: binned.map((bins) => sparkly(bins, { minimum: 0, maximum: top })), top };
}

/** Returns the means of `count` groups of neighbours, whose sizes differ by at most one; NaN for a group without a value. */
export function binMeans(values: readonly (number | null)[], count: number): number[] {
  const edge = (bin: number) => Math.floor((bin * values.length) / count);
  return range(count).map((bin) => mean(values.slice(edge(bin), edge(bin + 1))) ?? Number.NaN);
}
