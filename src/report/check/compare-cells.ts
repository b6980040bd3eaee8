import { numberIn } from "../results/result-table.ts";

/** How two cells differ: numbers by how much, and how much is allowed; anything else has no such figures. */
export interface CellDifference {
  readonly difference: number | null;
  readonly allowed: number | null;
}

/**
 * Compares the text of two cells; null where they agree. Numbers agree when |now − baseline| ≤ tolerance · max(1,
 * |baseline|), and everything else, an empty cell among it, only with the same text.
 */
export function compareCells(baseline: string, now: string, tolerance: number): CellDifference | null {
  if (baseline === now) return null;
  const [expected, found] = [numberIn(baseline), numberIn(now)];
  if (expected === null || found === null) return { difference: null, allowed: null };
  const difference = Math.abs(found - expected);
  const allowed = tolerance * Math.max(1, Math.abs(expected));
  return difference <= allowed ? null : { difference, allowed };
}
