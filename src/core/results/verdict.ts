import { max, min, range } from "d3-array";
import { counted, listed } from "../words.ts";
import { formatInterval, printable } from "./format.ts";
import type { Interval } from "./interval.ts";
import { type Price, paretoFront, priceOf } from "./recommendation.ts";
import { isTrained, type SummaryRow } from "./result-columns.ts";
import { numberOf, type Results } from "./results.ts";
import { metricOf, type Variant } from "./variants.ts";

/** Figures of one variant for the verdict: means over its seeds. */
export interface Contender {
  readonly name: string;
  /** MaxVio of a batch, mean over the steps; lower is better. */
  readonly maxVio: Interval;
  /**
   * Price of its balance; lower is better. Null if it was not computed. For a single run, the half width is the
   * standard error, as in the run's table.
   */
  readonly price: Interval | null;
  /** Mean affinity of the chosen pairs; higher is better. Null for recorded choices. */
  readonly score: Interval | null;
  /** Steps, of all seeds together, whose plan missed its tolerance; 0 for routers without a plan. */
  readonly missedSteps: number;
}

/** Result of comparing routers. Positions are those of the contenders. */
export interface Verdict {
  readonly contenders: readonly Contender[];
  /** What MaxVio is weighed against: the price or, if no contender has one, the score. */
  readonly against: Price["name"] | "score";
  /** Those with the lowest MaxVio: several if they tie exactly. */
  readonly best: readonly number[];
  /** Those whose interval of MaxVio overlaps that of a best one, so that more seeds could change the order. */
  readonly overlapping: readonly number[];
  /** Those for which no other is at least as good on both MaxVio and `against` and better on one, by rising MaxVio. */
  readonly pareto: readonly number[];
  /** The others that have a value of `against`. */
  readonly dominated: readonly number[];
  /** Those with a plan that missed its tolerance. */
  readonly notConverged: readonly number[];
}

/** Maximum number of names in a sentence before it counts the rest. */
const mostNames = 10;
/** The same for names with overlapping intervals, which few readers need. */
const mostOverlapping = 3;

/** Weighs `variants` of `results`; null if the summary has no MaxVio of batches, as in very old ones. */
export function verdictOf(results: Results, variants: readonly Variant[]): Verdict | null {
  const price = priceOf(results, variants);
  const contenders: Contender[] = [];
  for (const [position, variant] of variants.entries()) {
    const maxVio = metricOf(results, variant, "max_vio_batch_mean");
    if (maxVio === null) return null;
    contenders.push({
      name: variant.name,
      maxVio,
      price: price.intervals[position],
      score: metricOf(results, variant, "score"),
      missedSteps: missedSteps(results, variant),
    });
  }
  return weigh(contenders, price.name);
}

/** Weighs the routers of one run by their rows in its summary, at least one. */
export function verdictOfRun(rows: readonly SummaryRow[]): Verdict {
  const trained = rows.some(isTrained);
  const single = (mean: number | null, halfWidth: number | null = null): Interval | null =>
    mean === null ? null : { mean, halfWidth, count: 1 };
  const contenders = rows.flatMap(({ source, summary }) => {
    const maxVio = single(summary.maxVioBatchMean);
    // A router that routed no token has no balance.
    if (maxVio === null) return [];
    return {
      name: source.router,
      maxVio,
      price: trained ? single(summary.taskLoss) : single(summary.regretMean, summary.regretSe),
      score: single(summary.score),
      missedSteps: summary.notConvergedSteps ?? 0,
    };
  });
  return weigh(contenders, trained ? "task loss" : "regret");
}

/** Weighs `contenders`. Means decide; intervals only show how certain the order is. */
export function weigh(contenders: readonly Contender[], priceName: Price["name"]): Verdict {
  const positions = range(contenders.length);
  const lowest = min(contenders, ({ maxVio }) => maxVio.mean);
  const best = positions.filter((position) => contenders[position].maxVio.mean === lowest);
  const against = contenders.some(({ price }) => price !== null) ? priceName : "score";
  const priced = positions.filter((position) => valueAgainst(contenders[position], against) !== null);
  const pareto = paretoFront(
    priced.map((position) => {
      const { mean } = valueAgainst(contenders[position], against)!;
      return { x: contenders[position].maxVio.mean, y: against === "score" ? -mean : mean };
    }),
  ).map((point) => priced[point]);
  return {
    contenders,
    against,
    best,
    overlapping: positions.filter(
      (position) =>
        !best.includes(position) &&
        best.some((first) => overlap(contenders[first].maxVio, contenders[position].maxVio)),
    ),
    pareto,
    dominated: priced.filter((position) => !pareto.includes(position)),
    notConverged: positions.filter((position) => contenders[position].missedSteps > 0),
  };
}

/**
 * Returns the verdict in plain sentences: who balances best at what price, and who is dominated. Empty if there is
 * nothing to compare with.
 */
export function balanceSentences(verdict: Verdict): string[] {
  return [...bestSentences(verdict), ...frontSentences(verdict)];
}

/**
 * Returns the verdict for a page: who balances best at what price, who is dominated, and whose plans missed their
 * tolerance. For a sweep, whose recommendation names the Pareto front, omits the second. A single contender gets only
 * its figures.
 */
export function verdictSentences(verdict: Verdict, isSweep: boolean): string[] {
  const { contenders } = verdict;
  const balance = isSweep ? bestSentences(verdict) : balanceSentences(verdict);
  const missed = convergenceSentence(verdict);
  return [...(contenders.length === 1 ? [figuresSentence(verdict)] : balance), ...(missed === null ? [] : [missed])];
}

function figuresSentence({ contenders: [{ name, maxVio, price, score }], against }: Verdict): string {
  const figures = [
    `MaxVio of a batch ${formatInterval(maxVio)} (0 is perfect balance)`,
    ...(price === null ? [] : [`${against} ${formatInterval(price)}`]),
    ...(score === null ? [] : [`score ${formatInterval(score)}`]),
  ];
  return `${printable(name)} has ${figures.join(", ")}.`;
}

/** The sentences of {@link balanceSentences} about who balances best. */
export function bestSentences(verdict: Verdict): string[] {
  const { contenders, best, overlapping } = verdict;
  if (contenders.length < 2) return [];
  const maxVio = `MaxVio of a batch ${formatInterval(contenders[best[0]].maxVio)}`;
  const sentences = [
    best.length === contenders.length
      ? `All balance alike: ${maxVio}.`
      : best.length > 1
        ? `${namesOf(verdict, best)} balance best, tied at ${maxVio}.`
        : `${namesOf(verdict, best)} balances best: ${[maxVio, ...figuresOfBest(verdict)].join(", ")}.`,
  ];
  if (overlapping.length > 0) {
    const they = overlapping.length === 1 ? "its interval overlaps" : "their intervals overlap";
    const names = namesOf(verdict, overlapping, mostOverlapping);
    sentences.push(`More seeds could change that for ${names}: ${they} with the best one.`);
  }
  return sentences;
}

/** Returns a sentence that names whose plans missed their tolerance and how often; null if none did. */
export function convergenceSentence({ contenders, notConverged }: Verdict): string | null {
  if (notConverged.length === 0) return null;
  const counts = notConverged.map((position) => {
    const { name, missedSteps } = contenders[position];
    return `${printable(name)} on ${counted(missedSteps, "step")}`;
  });
  return `Plans missed their tolerance: ${listed(counts, mostNames)}.`;
}

/** Returns the figures of the best balanced one, and the highest score if that is another's. */
function figuresOfBest({ contenders, best, against: priceName }: Verdict): string[] {
  const { price, score } = contenders[best[0]];
  const figures = price === null ? [] : [`${priceName} ${formatInterval(price)}`];
  if (score === null) return figures;
  const highest = max(contenders, (contender) => contender.score?.mean);
  const scorers = contenders.filter((contender) => contender.score?.mean === highest);
  const isHighest = score.mean === highest;
  const names = listed(
    scorers.map(({ name }) => printable(name)),
    mostNames,
  );
  const beside = isHighest ? " (the highest)" : ` (the highest is ${formatInterval(scorers[0].score)}, of ${names})`;
  return [...figures, `score ${formatInterval(score)}${beside}`];
}

function frontSentences(verdict: Verdict): string[] {
  if (verdict.contenders.length < 2) return [];
  const { contenders, pareto, dominated, against } = verdict;
  if (pareto.length === 0) return [];
  const axes = `MaxVio and ${against}`;
  if (dominated.length === 0) return [`All are on the Pareto front of ${axes}: none is dominated.`];
  const front = pareto.map((position) => {
    const { name, maxVio } = contenders[position];
    const figures = [maxVio, valueAgainst(contenders[position], against)].map((value) => formatInterval(value));
    return `${printable(name)} (${figures.join(", ")})`;
  });
  return [
    `On the Pareto front of ${axes}: ${listed(front, mostNames)}. Dominated, because another is at least as good on both ` +
      `and better on one: ${namesOf(verdict, dominated)}.`,
  ];
}

function valueAgainst({ price, score }: Contender, against: Verdict["against"]): Interval | null {
  return against === "score" ? score : price;
}

function namesOf({ contenders }: Verdict, positions: readonly number[], most = mostNames): string {
  return listed(
    positions.map((position) => printable(contenders[position].name)),
    most,
  );
}

function overlap(one: Interval, other: Interval): boolean {
  if (one.halfWidth === null || other.halfWidth === null) return false;
  return Math.abs(one.mean - other.mean) <= one.halfWidth + other.halfWidth;
}

function missedSteps({ summary }: Results, { members }: Variant): number {
  return members.reduce((sum, { row }) => sum + (numberOf(summary, row, "not_converged_steps") ?? 0), 0);
}
