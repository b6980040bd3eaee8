import { ascending } from "d3-array";
import type { MetricColumn } from "../metrics/catalogue.ts";
import { listed } from "../words.ts";
import { formatInterval, formatNumber, printable } from "./format.ts";
import type { Interval, MeanDifference } from "./interval.ts";

/** Results side by side; the first is the reference. Plain data, for terminals, pages and scripts. */
export interface Comparison {
  readonly folders: readonly ComparedFolder[];
  /**
   * How the scenarios differ, or the measurements of recorded choices. If not all folders come from scenarios, the
   * sizes that differ in summary.csv come first: `experts`, `steps`, `tokens`, `top_k`.
   */
  readonly fields: readonly ComparedField[];
  readonly metrics: readonly ComparedMetric[];
  /**
   * Requested metrics that are empty for every router of every folder: for recorded choices score, regret and churn.
   */
  readonly emptyMetrics: readonly string[];
  /** Positions of the folders without any router of the reference, so that nothing in them can be compared. */
  readonly unmatchedFolders: readonly number[];
}

export interface ComparedFolder {
  readonly folder: string;
  /** Short and unique. */
  readonly name: string;
  /** Source of the results according to run.json; null if it does not say. */
  readonly source: "scenario" | "measurement" | null;
}

/** A field of the scenario or measurement that is not the same in all folders. */
export interface ComparedField {
  /** `stream.skew`, `routers.ssr.epsilon`. */
  readonly path: string;
  /** One per folder, as JSON; null if it has no such field. */
  readonly values: readonly (string | null)[];
}

/** One metric of all routers. */
export interface ComparedMetric extends Pick<MetricColumn, "column" | "label" | "better" | "isMain"> {
  readonly rows: readonly ComparedRow[];
}

/** One metric of one router. */
export interface ComparedRow {
  /** The router's name, followed by the swept values. */
  readonly router: string;
  /** One per folder; null if it has no such router, or the metric does not apply. */
  readonly cells: readonly (ComparedCell | null)[];
}

export interface ComparedCell extends Interval {
  /** Difference from the reference; null for the reference itself and if it has no value. */
  readonly change: MeanChange | null;
}

export interface MeanChange extends MeanDifference {
  /**
   * Number of seeds over which the interval pairs values; null if it does not pair them, or if there is no interval.
   */
  readonly pairedSeeds: number | null;
  /** Whether it got better or worse; null if neither, or if neither way is better. */
  readonly direction: "better" | "worse" | null;
}

/** What a comparison calls the contents of the folders: `inputs` if some are scenarios and others recordings. */
export function nounOf(folders: readonly ComparedFolder[]): "scenarios" | "recordings" | "inputs" {
  const sources = new Set(folders.map(({ source }) => source));
  if (!sources.has("measurement")) return "scenarios";
  return sources.has("scenario") ? "inputs" : "recordings";
}

/** Maximum number of routers that a sentence names before counting the rest. */
const mostNames = 4;

/**
 * Returns one sentence per folder on how `metric` changed from the reference: for which routers it got better or worse,
 * and for which it changed most. Empty for a folder that shares no router with the reference.
 */
export function changeSentences({ label, rows }: ComparedMetric, folders: readonly ComparedFolder[]): string[] {
  return folders.flatMap(({ name }, folder) => {
    const changes = rows.flatMap(({ router, cells }) => {
      const cell = cells[folder];
      return cell === null || cell.change === null ? [] : [{ router: printable(router), cell, ...cell.change }];
    });
    if (changes.length === 0) return [];
    // Every comparison is of means.
    const metric = label.replace(/, mean$/, "");
    const subject = `From ${printable(folders[0].name)} to ${printable(name)}, ${metric}${metric.includes(",") ? "," : ""}`;
    const moved = changes.filter(({ difference }) => difference !== 0);
    if (moved.length === 0) return [`${subject} stays the same for every router.`];
    const outcomes = [
      ["gets better", moved.filter(({ direction }) => direction === "better")],
      ["gets worse", moved.filter(({ direction }) => direction === "worse")],
      ["changes", moved.filter(({ direction }) => direction === null)],
    ] as const;
    const parts = outcomes
      .filter(([, { length }]) => length > 0)
      .map(
        ([verb, of]) =>
          `${verb} for ${namesOf(
            of.map(({ router }) => router),
            changes.length,
          )}`,
      );
    const most = moved.reduce((a, b) => (Math.abs(b.difference) > Math.abs(a.difference) ? b : a));
    const from = formatNumber(most.cell.mean - most.difference);
    const where = moved.length === 1 ? "" : `, most for ${most.router}`;
    return [`${subject} ${listed(parts)}${where}: from ${from} to ${formatInterval(most.cell)}.`];
  });
}

function namesOf(routers: readonly string[], all: number): string {
  if (routers.length === all && all > mostNames) return `all ${all} routers`;
  return listed(routers, mostNames);
}

/** Describes the confidence intervals of the changes in `metrics`; null if no change has one. */
export function changeIntervalWords(metrics: readonly ComparedMetric[]): string | null {
  const cells = metrics.flatMap(({ rows }) => rows.flatMap((row) => row.cells));
  const changes = cells.flatMap((cell) => (cell === null || cell.change === null ? [] : [cell.change]));
  const withInterval = changes.filter(({ halfWidth }) => halfWidth !== null);
  if (withInterval.length === 0) return null;
  const paired = new Set(withInterval.flatMap(({ pairedSeeds }) => pairedSeeds ?? []));
  if (paired.size === 0) return "Welch's";
  const words = `paired over ${Array.from(paired).sort(ascending).join(" or ")} seeds`;
  const all = withInterval.every(({ pairedSeeds }) => pairedSeeds !== null);
  return all ? words : `${words}, and Welch's if seeds or streams differ`;
}
