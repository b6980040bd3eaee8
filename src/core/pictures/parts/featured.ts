import { ascending } from "d3-array";
import { paretoFront } from "../../results/pareto.ts";
import { priceOf } from "../../results/price.ts";
import type { Results } from "../../results/results.ts";
import { metricOf, type Variant } from "../../results/variants.ts";

/** Up to this many variants, each has its own line in pictures. */
const mostFeatured = 14;
/** If there are more variants, this many have a line. */
const featuredOfMany = 12;

/**
 * Returns the variants that pictures tell apart: all if there are few, otherwise the best, in order. Those on the
 * Pareto front of price and MaxVio come first, then the others by MaxVio. If several are equal in both, like routers
 * that a swept parameter does not affect, all but the first come last.
 */
export function featuredVariants(results: Results, variants: readonly Variant[]): readonly Variant[] {
  if (variants.length <= mostFeatured) return variants;
  const { intervals } = priceOf(results, variants);
  const points = variants.map((variant, position) => ({
    variant,
    x: intervals[position]?.mean ?? null,
    y: metricOf(results, variant, "max_vio_batch_mean")?.mean ?? Number.POSITIVE_INFINITY,
  }));
  const withPrice = points.filter((point): point is typeof point & { x: number } => point.x !== null);
  const front = new Set(paretoFront(withPrice).map((position) => withPrice[position].variant));
  const seen = new Set<string>();
  const isRepeated = new Map(
    points.map(({ variant, x, y }) => {
      const place = `${variant.router} ${x} ${y}`;
      const repeated = seen.has(place);
      seen.add(place);
      return [variant, repeated];
    }),
  );
  const rankOf = (variant: Variant) => (isRepeated.get(variant) ? 2 : front.has(variant) ? 0 : 1);
  return points
    .sort((a, b) => rankOf(a.variant) - rankOf(b.variant) || ascending(a.y, b.y))
    .slice(0, featuredOfMany)
    .map(({ variant }) => variant);
}
