import { ascending } from "d3-array";
import type { MetricColumn } from "../metrics/catalogue.ts";
import { listed } from "../words.ts";
import { formatInterval, formatNumber, printable } from "./format.ts";
import type { Interval, MeanDifference } from "./interval.ts";

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
export interface ComparedMetric extends Pick<MetricColumn, "column" | "label" | "better" | "isMain"> {
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

/** What the folders hold, as a comparison calls it: `inputs` if some are scenarios and others recordings. */
export function nounOf(folders: readonly ComparedFolder[]): "scenarios" | "recordings" | "inputs" {
  const sources = new Set(folders.map(({ source }) => source));
  if (!sources.has("measurement")) return "scenarios";
  return sources.has("scenario") ? "inputs" : "recordings";
}

/** How many routers a sentence names before it counts the rest. */
const mostNames = 4;

/**
 * What happened to `metric` from the reference to each other folder, a sentence each: for which routers it got better and
 * for which worse, and where it changed most. None for a folder that shares no router with the reference.
 */
export function changeSentences({ label, rows }: ComparedMetric, folders: readonly ComparedFolder[]): string[] {
  return folders.flatMap(({ name }, folder) => {
    const changes = rows.flatMap(({ router, cells }) => {
      const cell = cells[folder];
      return cell === null || cell.change === null ? [] : [{ router: printable(router), cell, ...cell.change }];
    });
    if (changes.length === 0) return [];
    // A mean is what every comparison is of.
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

/** How the confidence intervals of the changes in `metrics` are made; null where no change has one. */
export function changeIntervalWords(metrics: readonly ComparedMetric[]): string | null {
  const cells = metrics.flatMap(({ rows }) => rows.flatMap((row) => row.cells));
  const changes = cells.flatMap((cell) => (cell === null || cell.change === null ? [] : [cell.change]));
  const withInterval = changes.filter(({ halfWidth }) => halfWidth !== null);
  if (withInterval.length === 0) return null;
  const paired = new Set(withInterval.flatMap(({ pairedSeeds }) => pairedSeeds ?? []));
  if (paired.size === 0) return "Welch's";
  const words = `paired over ${Array.from(paired).sort(ascending).join(" or ")} seeds`;
  const all = withInterval.every(({ pairedSeeds }) => pairedSeeds !== null);
  return all ? words : `${words}, and Welch's where seeds or streams differ`;
}
