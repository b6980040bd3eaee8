import { mean, range } from "d3-array";
import type { LoadSeries } from "../results/step-series.ts";

/** The most cells of all panels together, so that a page stays small. */
const mostCells = 40_000;
const leastSteps = 12;
/** More experts than this are drawn in groups of neighbours: a row is at least a pixel high. */
const mostRows = 256;
const leastCellWidth = 2;

/** A panel of the load heatmap: one router's loads, as far as they are drawn. */
export interface LoadPanel {
  /** The steps drawn, `[columns]`. */
  readonly steps: readonly number[];
  /** The first expert of each group, `[rows]`. */
  readonly firstExperts: readonly number[];
  /** Neighbouring experts in a row; the last may have fewer. */
  readonly groupSize: number;
  /** `[columns × rows]`: the mean load of the row's experts in percent of the mean of all experts on that step. */
  readonly percent: readonly number[];
}

/**
 * Takes from `loads` what a panel `width` pixels wide shows beside `panels` − 1 others: evenly spaced steps, and groups of
 * experts where there are too many.
 */
export function loadPanel({ step, experts, load }: LoadSeries, panels: number, width: number): LoadPanel {
  const groupSize = Math.ceil(experts / mostRows);
  const firstExperts = range(0, experts, groupSize);
  const affordable = Math.max(leastSteps, Math.floor(mostCells / (panels * firstExperts.length)));
  const wanted = Math.min(step.length, affordable, Math.max(leastSteps, Math.floor(width / leastCellWidth)));
  // All, or as many as fill the panel with cells of whole pixels.
  const columns = wanted === step.length ? wanted : Math.floor(width / Math.ceil(width / wanted));
  const positions = range(columns).map((i) =>
    columns === 1 ? 0 : Math.round((i * (step.length - 1)) / (columns - 1)),
  );
  const percent = positions.flatMap((position) => {
    const ofStep = load.slice(position * experts, (position + 1) * experts);
    const average = mean(ofStep)!;
    return firstExperts.map((first) => {
      const ofGroup = mean(ofStep.slice(first, first + groupSize))!;
      // Rounding must not make an expert idle that is not.
      return ofGroup === 0 ? 0 : Math.max(1, Math.round((100 * ofGroup) / average));
    });
  });
  return { steps: positions.map((position) => step[position]), firstExperts, groupSize, percent };
}
