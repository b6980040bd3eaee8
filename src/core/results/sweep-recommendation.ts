import { isRunRecord, type RunRecord } from "../scenario/is-run-record.ts";
import { type Price, priceOf } from "./price.ts";
import { type Recommendation, recommend } from "./recommendation.ts";
import { commandLine, type RecommendationText, recommendationText } from "./recommendation-text.ts";
import type { Results, Run } from "./results.ts";
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
