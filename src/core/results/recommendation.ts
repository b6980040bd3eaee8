import { least } from "d3-array";
import type { Interval } from "./interval.ts";
import { paretoFront } from "./pareto.ts";

/** What of a variant counts for choosing one. */
export interface Candidate {
  /** Of the MaxVio of a batch, mean over the steps. */
  readonly maxVio: Interval;
  /** What it pays for its balance (`price.ts`); null where that was not computed. */
  readonly price: Interval | null;
  /** Milliseconds to route a batch; null where that is not known. */
  readonly routeMs: number | null;
}

/** Which of the candidates to take, by position. */
export interface Recommendation {
  /** Those that no other betters in MaxVio or price without being worse in the other, by rising MaxVio. */
  readonly pareto: readonly number[];
  /** The fastest of those that keep the limit; null where none does. */
  readonly cheapest: number | null;
  /** The one with the lowest upper end of MaxVio. */
  readonly nearest: number;
}

/**
 * Chooses among `candidates`, of which there is at least one. One keeps the limit where the upper end of its MaxVio
 * is at most `maxVioLimit`. Ties go to the first.
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

/** Of the 95 % confidence interval; for a single seed the value itself. */
export function upperEnd({ mean, halfWidth }: Interval): number {
  return mean + (halfWidth ?? 0);
}
