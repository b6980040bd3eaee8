import { ascending, least, range } from "d3-array";
import type { RunColumnName } from "../metrics/catalogue.ts";
import { parsePath } from "../scenario/overrides.ts";
import { escapeUnprintable, shellWord } from "../words.ts";
import { formatInterval, formatNumber, printable } from "./format.ts";
import type { Interval } from "./interval.ts";
import { isRunRecord, type Results, type Run, type RunRecord } from "./results.ts";
import { metricOf, routeTimes, type Variant, variantsOf } from "./variants.ts";

/** Prices of a sweep's variants, and which variant to take. */
export interface WeighedSweep {
  /** Variants that have a MaxVio; positions in the recommendation refer to these. */
  readonly variants: readonly Variant[];
  readonly price: Price;
  readonly recommendation: Recommendation;
  readonly text: RecommendationText;
}

/**
 * Weighs the variants of `results` and recommends the cheapest whose MaxVio of a batch is at most `maxVioLimit`. Null if
 * no variant has a MaxVio. Throws `InputError` if a timing.csv is malformed.
 *
 * @param wordsOf the command line that runs a variant again
 */
export function weighSweep(
  results: Results,
  maxVioLimit: number,
  wordsOf: (variant: Variant) => readonly string[] = (variant) => recordedWords(variant),
): WeighedSweep | null {
  const weighed = variantsOf(results).flatMap((variant) => {
    const maxVio = metricOf(results, variant, "max_vio_batch_mean");
    return maxVio === null ? [] : [{ variant, maxVio }];
  });
  if (weighed.length === 0) return null;
  const variants = weighed.map(({ variant }) => variant);
  const routeMs = routeTimes(results, variants);
  const price = priceOf(results, variants);
  const all = weighed.map(({ variant, maxVio }, position) => ({
    variant,
    candidate: { maxVio, price: price.intervals[position], routeMs: routeMs[position] },
  }));
  const recommendation = recommend(
    all.map(({ candidate }) => candidate),
    maxVioLimit,
  );
  const commandOf = (variant: Variant) => commandLine(wordsOf(variant));
  const text = recommendationText(all, recommendation, maxVioLimit, price.name, results.parameters, commandOf);
  return { variants, price, recommendation, text };
}

/**
 * Returns the words that `sweep` recorded for the variant's first cell, or those that run the cell's own record again.
 */
function recordedWords({ members: [{ run }] }: Variant): readonly string[] {
  const words = recordOf(run)?.rerun;
  if (Array.isArray(words) && words.every((word): word is string => typeof word === "string")) return words;
  return ["moesim", "run", run.files.recordPath];
}

/** Returns the record that moesim wrote to run.json; undefined if there is none, or the file is something else. */
function recordOf({ files }: Run): RunRecord | undefined {
  try {
    const record = files.record();
    return isRunRecord(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** The price of balance: the loss if the stream trains, otherwise regret. */
export interface Price {
  readonly name: "task loss" | "regret";
  /** One per variant; null if it was not computed. */
  readonly intervals: readonly (Interval | null)[];
}

/** Returns the price that `variants` of `results` pay, of the same kind for all, so that they can be compared. */
export function priceOf(results: Results, variants: readonly Variant[]): Price {
  const intervalsOf = (column: RunColumnName) => variants.map((variant) => metricOf(results, variant, column));
  const losses = intervalsOf("task_loss");
  if (losses.some((loss) => loss !== null)) return { name: "task loss", intervals: losses };
  return { name: "regret", intervals: intervalsOf("regret_mean") };
}

/** What counts when choosing a variant. */
export interface Candidate {
  /** MaxVio of a batch, mean over the steps. */
  readonly maxVio: Interval;
  /** Price of its balance (`price.ts`); null if not computed. */
  readonly price: Interval | null;
  /** Milliseconds to route a batch; null if unknown. */
  readonly routeMs: number | null;
}

/** Which candidate to take, by position. */
export interface Recommendation {
  /** Pareto front by rising MaxVio: no other candidate is at least as good in MaxVio and price and better in one. */
  readonly pareto: readonly number[];
  /** The fastest that keeps the limit; null if none does. */
  readonly cheapest: number | null;
  /** The one with the lowest upper end of MaxVio. */
  readonly nearest: number;
}

/**
 * Chooses among `candidates`, at least one. A candidate keeps the limit if the upper end of its MaxVio is at most
 * `maxVioLimit`. Ties go to the first.
 */
export function recommend(candidates: readonly Candidate[], maxVioLimit: number): Recommendation {
  const positions = Array.from(candidates.keys());
  const withPrice = positions.filter((position) => candidates[position].price !== null);
  const front = paretoFront(
    withPrice.map((position) => ({ x: candidates[position].maxVio.mean, y: candidates[position].price!.mean })),
  );
  const keeping = positions.filter((position) => upperEnd(candidates[position].maxVio) <= maxVioLimit);
  return {
    pareto: front.map((point) => withPrice[point]),
    cheapest: least(keeping, (position) => candidates[position].routeMs ?? Number.POSITIVE_INFINITY) ?? null,
    nearest: least(positions, (position) => upperEnd(candidates[position].maxVio))!,
  };
}

/** Upper end of the 95 % confidence interval; for a single seed, the value itself. */
function upperEnd({ mean, halfWidth }: Interval): number {
  return mean + (halfWidth ?? 0);
}

/**
 * Returns the positions of the points that no other point dominates, lower being better on both axes: no other is at
 * least as low on both and lower on one. Ordered by rising x; coinciding points are all kept, in their own order.
 * Coordinates must not be NaN.
 */
export function paretoFront(points: readonly { readonly x: number; readonly y: number }[]): number[] {
  const order = range(points.length).sort(
    (a, b) => ascending(points[a].x, points[b].x) || ascending(points[a].y, points[b].y),
  );
  const front: number[] = [];
  for (const position of order) {
    const last = front.length === 0 ? null : points[front[front.length - 1]];
    const { x, y } = points[position];
    if (last === null || y < last.y || (x === last.x && y === last.y)) front.push(position);
  }
  return front;
}

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
