import { least } from "d3-array";
import type { Interval } from "./interval.ts";
import { paretoFront } from "./pareto.ts";

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
export function upperEnd({ mean, halfWidth }: Interval): number {
  return mean + (halfWidth ?? 0);
}
