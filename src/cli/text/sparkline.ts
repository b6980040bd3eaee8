import { max, mean, range } from "d3-array";
import sparkly from "sparkly";

/** Characters that a sparkline has at most. */
const sparklineWidth = 20;

/** Lines of blocks, all on one scale from 0 to `top`, so that they compare. */
export interface Sparklines {
  readonly lines: readonly string[];
  readonly top: number;
}

/**
 * Draws each of `series`, non-negative values over the steps, in at most 20 characters: where there are more steps, each
 * character stands for the mean of as many neighbours.
 */
export function sparklines(series: readonly (readonly number[])[]): Sparklines {
  const binned = series.map((values) => binMeans(values, Math.min(values.length, sparklineWidth)));
  const top = max(binned, (bins) => max(bins)) ?? 0;
  return { lines: binned.map((bins) => sparkly(bins, { minimum: 0, maximum: top })), top };
}

/** The means of `count` runs of neighbours, whose lengths differ by one at most. */
export function binMeans(values: readonly number[], count: number): number[] {
  const edge = (bin: number) => Math.floor((bin * values.length) / count);
  return range(count).map((bin) => mean(values.slice(edge(bin), edge(bin + 1)))!);
}
