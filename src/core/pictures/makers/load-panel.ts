import { range, sum } from "d3-array";
import type { LoadSeries } from "../../results/results.ts";

/** Maximum cells of all panels together, to keep a page small. */
const mostCells = 40_000;
const leastColumns = 12;
/** More experts are drawn in groups of neighbours: a row is at least a pixel high. */
const mostRows = 256;
const leastCellWidth = 2;

/** A panel of the load heat map: one router's loads, as drawn. */
export interface LoadPanel {
  /** The first recorded step of each column, `[columns]`. */
  readonly firstSteps: readonly number[];
  /** The last recorded step of each column, `[columns]`. */
  readonly lastSteps: readonly number[];
  /** Consecutive recorded steps in a column; some have one fewer. */
  readonly binSize: number;
  /** The first expert of each group, `[rows]`. */
  readonly firstExperts: readonly number[];
  /** Neighbouring experts in a row; the last may have fewer. */
  readonly groupSize: number;
  readonly experts: number;
  /**
   * `[columns × rows]`: the load of the row's experts over the column's steps, in percent of the mean over all experts;
   * 0 if all of the row's experts are idle on any of these steps, so that no bin hides an idle step.
   */
  readonly percent: readonly number[];
}

/**
 * Returns what a panel `width` pixels wide shows of `loads`, beside `panels` − 1 others: columns of consecutive steps,
 * as equal in number as possible, and groups of experts if there are too many. Leaves out no step.
 */
export function loadPanel({ step, experts, load }: LoadSeries, panels: number, width: number): LoadPanel {
  const groupSize = Math.ceil(experts / mostRows);
  const firstExperts = range(0, experts, groupSize);
  const affordable = Math.max(leastColumns, Math.floor(mostCells / (panels * firstExperts.length)));
  const wanted = Math.min(step.length, affordable, Math.max(leastColumns, Math.floor(width / leastCellWidth)));
  // All, or as many as fill the panel with cells of whole pixels.
  const columns =
    wanted === step.length ? wanted : Math.max(leastColumns, Math.floor(width / Math.ceil(width / wanted)));
  const bounds = range(columns + 1).map((column) => Math.floor((column * step.length) / columns));
  const percent = range(columns).flatMap((column) => {
    const loadsOfSteps = range(bounds[column], bounds[column + 1]).map((position) =>
      load.slice(position * experts, (position + 1) * experts),
    );
    const average = sum(loadsOfSteps, (ofStep) => sum(ofStep)) / experts;
    return firstExperts.map((first) => {
      const ofGroup = loadsOfSteps.map((ofStep) => sum(ofStep.slice(first, first + groupSize)));
      if (ofGroup.includes(0)) return 0;
      const groupAverage = sum(ofGroup) / (Math.min(first + groupSize, experts) - first);
      // Rounding must not make a busy expert look idle.
      return Math.max(1, Math.round((100 * groupAverage) / average));
    });
  });
  return {
    firstSteps: bounds.slice(0, -1).map((position) => step[position]),
    lastSteps: bounds.slice(1).map((position) => step[position - 1]),
    binSize: Math.ceil(step.length / columns),
    firstExperts,
    groupSize,
    experts,
    percent,
  };
}
