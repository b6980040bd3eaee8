import { parsePath } from "../scenario/overrides.ts";
import { formatInterval } from "./format-interval.ts";
import { printable } from "./printable.ts";
import type { Price } from "./results/price.ts";
import { type Candidate, type Recommendation, upperEnd } from "./results/recommendation.ts";
import type { Variant } from "./results/variants.ts";
import { formatNumber } from "./table.ts";

/** A variant as a recommendation weighs it. */
export interface RecommendedVariant {
  readonly variant: Variant;
  readonly candidate: Candidate;
}

/**
 * What a sweep recommends, in lines for the terminal: the Pareto-best variants, and the cheapest that keeps MaxVio at
 * `maxVioLimit`, or that none does.
 *
 * @param priceName what the candidates' price is
 * @param swept the paths of the sweep
 * @param commandOf the command that runs a variant again
 */
export function formatRecommendation(
  all: readonly RecommendedVariant[],
  { pareto, cheapest, nearest }: Recommendation,
  maxVioLimit: number,
  priceName: Price["name"],
  swept: readonly string[],
  commandOf: (variant: Variant) => string,
): string[] {
  const front = withoutAlike(pareto.map((position) => all[position]));
  const lines =
    front.length === 0
      ? ["Regret was not computed, so none is Pareto-best of MaxVio and regret."]
      : [
          `Pareto-best of MaxVio and ${priceName}, means over batches:`,
          ...front.map(({ variant, candidate }) => `  ${printable(variant.name)}: ${figures(candidate, priceName)}`),
        ];
  const chosen = all[cheapest ?? nearest];
  const hasSeeds = all.some(({ candidate }) => candidate.maxVio.halfWidth !== null);
  const kept = `MaxVio ≤ ${formatNumber(maxVioLimit)}${hasSeeds ? ", half width included" : ""}`;
  const { variant, candidate } = chosen;
  if (cheapest === null) {
    lines.push(`None keeps ${kept}. The nearest, at ${formatNumber(upperEnd(candidate.maxVio))}:`);
  } else {
    lines.push(`Cheapest that keeps ${kept}:`);
  }
  lines.push(`  ${printable(variant.name)}: ${figures(candidate, priceName)}`, `  ${commandOf(variant)}`);
  const others = swept.filter((path) => parsePath(path)[0] !== "routers");
  if (others.length > 0) {
    const are = others.length === 1 ? "is" : "are";
    lines.push(
      `Not only routers differ: ${printable(others.join(", "))} ${are} swept too, so their figures may not be comparable.`,
    );
  }
  return lines;
}

/** One of each router's variants that came to the same, as those do whose router has no part in what is swept. */
function withoutAlike(variants: readonly RecommendedVariant[]): RecommendedVariant[] {
  const keyOf = ({ variant, candidate }: RecommendedVariant) =>
    JSON.stringify([variant.router, candidate.maxVio.mean, candidate.price!.mean]);
  const keys = variants.map(keyOf);
  return variants.filter((_, position) => keys.indexOf(keys[position]) === position);
}

function figures({ maxVio, price, routeMs }: Candidate, priceName: Price["name"]): string {
  return [
    `MaxVio ${formatInterval(maxVio)}`,
    ...(price === null ? [] : [`${priceName} ${formatInterval(price)}`]),
    ...(routeMs === null ? [] : [`${formatNumber(routeMs)} ms a batch`]),
  ].join(", ");
}
