import type { Interval } from "./interval.ts";
import type { MeanDifference } from "./mean-difference.ts";
import type { MetricColumn } from "./metric-columns.ts";

/** Results side by side, the first of them the reference. Plain data, for terminals, pages and scripts. */
export interface Comparison {
  readonly folders: readonly ComparedFolder[];
  /**
   * Where the scenarios differ, and in what the measurements of recorded choices. If not all folders come from scenarios,
   * first the sizes that differ by summary.csv: `experts`, `steps`, `tokens`, `top_k`.
   */
  readonly fields: readonly ComparedField[];
  readonly metrics: readonly ComparedMetric[];
  /** Asked for, but empty for every router of every folder: of recorded choices the score, the regret and the churn. */
  readonly emptyMetrics: readonly string[];
  /** The folders, by position, that have no router of the reference, so that nothing of theirs can be compared. */
  readonly unmatchedFolders: readonly number[];
}

export interface ComparedFolder {
  readonly folder: string;
  /** Short, and unlike that of the others. */
  readonly name: string;
  /** What run.json tells that the results come from; null if it does not. */
  readonly source: "scenario" | "measurement" | null;
}

/** A field of the scenario or measurement that not all have alike. */
export interface ComparedField {
  /** `stream.skew`, `routers.ssr.epsilon`. */
  readonly path: string;
  /** One a folder, as JSON; null if it has no such field. */
  readonly values: readonly (string | null)[];
}

/** One metric of all routers. */
export interface ComparedMetric extends MetricColumn {
  readonly rows: readonly ComparedRow[];
}

/** One metric of one router. */
export interface ComparedRow {
  /** The router's name, and the swept values behind it. */
  readonly router: string;
  /** One a folder; null where it has no such router, or the metric does not apply. */
  readonly cells: readonly (ComparedCell | null)[];
}

export interface ComparedCell extends Interval {
  /** From the reference; null for the reference itself and where it has no value. */
  readonly change: MeanChange | null;
}

export interface MeanChange extends MeanDifference {
  /** Over how many seeds the interval pairs values; null where it does not, or where there is none. */
  readonly pairedSeeds: number | null;
  /** Which way it went; null where it did not, or where neither way is better. */
  readonly direction: "better" | "worse" | null;
}
