import { escapeUnprintable } from "../escape-unprintable.ts";
import { parsePath } from "../scenario/overrides.ts";
import { shellWord } from "../shell-word.ts";
import { formatInterval, formatNumber, printable } from "./format.ts";
import type { Price } from "./price.ts";
import { type Candidate, type Recommendation, upperEnd } from "./recommendation.ts";
import type { Variant } from "./variants.ts";

/** A variant with its figures for a recommendation. */
export interface RecommendedVariant {
  readonly variant: Variant;
  readonly candidate: Candidate;
}

/** A sweep's recommendation in words, as the terminal prints and the page shows it. */
export interface RecommendationText {
  /** Heading of the list below it, or a note that no price is known. */
  readonly frontTitle: string;
  readonly front: readonly string[];
  readonly choiceTitle: string;
  readonly choice: string;
  /** Runs the chosen variant again. */
  readonly command: string;
  /** What may make the figures misleading; null if nothing does. */
  readonly warning: string | null;
}

/**
 * Describes the Pareto-best variants, and the cheapest that keeps MaxVio at `maxVioLimit`, or says that none does.
 *
 * @param priceName kind of the candidates' price
 * @param swept paths of the sweep
 * @param commandOf the command that runs a variant again
 */
export function recommendationText(
  all: readonly RecommendedVariant[],
  { pareto, cheapest, nearest }: Recommendation,
  maxVioLimit: number,
  priceName: Price["name"],
  swept: readonly string[],
  commandOf: (variant: Variant) => string,
): RecommendationText {
  const front = withoutAlike(pareto.map((position) => all[position]));
  const { variant, candidate } = all[cheapest ?? nearest];
  const hasSeeds = all.some(({ candidate }) => candidate.maxVio.halfWidth !== null);
  const hasTimes = all.some(({ candidate }) => candidate.routeMs !== null);
  const kept = `MaxVio ≤ ${formatNumber(maxVioLimit)}${hasSeeds ? ", including half width" : ""}`;
  const others = swept.filter((path) => parsePath(path)[0] !== "routers");
  const are = others.length === 1 ? "is" : "are";
  const best = hasTimes
    ? `Cheapest that keeps ${kept}:`
    : `First that keeps ${kept}; without timing.csv the cheapest is unknown:`;
  return {
    frontTitle:
      front.length === 0
        ? "Regret was not computed, so there is no Pareto front of MaxVio and regret."
        : `Pareto-best of MaxVio and ${priceName}, means over batches:`,
    front: front.map((one) => `${printable(one.variant.name)}: ${figures(one.candidate, priceName)}`),
    choiceTitle:
      cheapest === null ? `None keeps ${kept}. The nearest, at ${formatNumber(upperEnd(candidate.maxVio))}:` : best,
    choice: `${printable(variant.name)}: ${figures(candidate, priceName)}`,
    command: commandOf(variant),
    warning:
      others.length === 0
        ? null
        : `Not only routers differ: ${printable(others.join(", "))} ${are} swept too, so their figures may not be comparable.`,
  };
}

/** Returns the same as lines for the terminal. */
export function recommendationLines(text: RecommendationText): string[] {
  return [
    text.frontTitle,
    ...text.front.map((line) => `  ${line}`),
    text.choiceTitle,
    `  ${text.choice}`,
    `  ${text.command}`,
    ...(text.warning === null ? [] : [text.warning]),
  ];
}

/** Quotes a command line for a shell, on one line, whatever its words contain. */
export function commandLine(words: readonly string[]): string {
  return words.map((word) => shellWord(escapeUnprintable(word))).join(" ");
}

/** Keeps one of each router's variants with equal figures, which occur if the router does not use what is swept. */
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
    ...(routeMs === null ? [] : [`${formatNumber(routeMs)} ms per batch`]),
  ].join(", ");
}
