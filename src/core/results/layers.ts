import { max, mean } from "d3-array";
import type { RunSummary, RunTiming } from "../metrics/run-summary.ts";
import type { LayerRow, SummaryRow } from "./result-columns.ts";

/**
 * Returns a router's row of summary.csv from its `rows` of layers.csv, one per layer: the mean over the layers of each
 * metric, over those to which it applies, and the layer with the largest MaxVio of the run, the first of several. A layer
 * without a pair, such as a dense one, is absent and in no mean, unless all are. Experts of different layers are never
 * added up.
 */
export function meanOfLayers(all: readonly LayerRow[]): SummaryRow {
  const present = all.filter(({ summary }) => !isAbsent(summary));
  const rows = present.length === 0 ? all : present;
  const [{ source, sizes, summary: first }] = rows;
  const values = Object.keys(first)
    .filter((key) => !handled.has(key))
    .map((key) => [key, meanOf(rows.map(({ summary }) => summary[key as keyof RunSummary] as number | null))]);
  const known = present.filter(({ summary }) => isNumber(summary.maxVioGlobal));
  const worst = known.reduce<LayerRow | null>(
    (worst, row) => (worst === null || row.summary.maxVioGlobal! > worst.summary.maxVioGlobal! ? row : worst),
    null,
  );
  const batches = rows.map(({ summary }) => summary.maxVioBatches);
  const same = <Size>(sizeOf: (row: LayerRow) => Size) => rows.every((row) => sizeOf(row) === sizeOf(rows[0]));
  return {
    source,
    sizes: {
      steps: max(rows, (row) => row.sizes.steps)!,
      tokens: same((row) => row.sizes.tokens) ? sizes.tokens : null,
      experts: sizes.experts,
      topK: same((row) => row.sizes.topK) ? sizes.topK : null,
    },
    summary: {
      ...first,
      ...Object.fromEntries(values),
      maxVioWorst: worst?.summary.maxVioGlobal ?? null,
      maxVioBatches: Array.from(
        { length: max(batches, ({ length }) => length)! },
        (_, step) => meanOf(batches.map((ofLayer) => ofLayer[step])) ?? Number.NaN,
      ),
    },
    worstLayer: worst?.layer ?? null,
  };
}

/** Whether every expert was idle on every step, so that the layer has no balance. */
export function isAbsent({ idleFractionMean }: { readonly idleFractionMean: number | null }): boolean {
  return !isNumber(idleFractionMean) || idleFractionMean === 1;
}

/** The fields of a summary that are not the mean over the layers. */
const handled: ReadonlySet<string> = new Set(["maxVioWorst", "maxVioBatches"]);

function isNumber(value: number | null | undefined): value is number {
  return typeof value === "number" && !Number.isNaN(value);
}

function meanOf(values: readonly (number | null | undefined)[]): number | null {
  return mean(values.filter(isNumber)) ?? null;
}

/** Returns the times of all batches of all layers, as if they were of one run. */
export function timingOfLayers(timings: readonly RunTiming[]): RunTiming {
  const all = (times: readonly (Float64Array | null)[]) =>
    Float64Array.from(times.flatMap((ofLayer) => Array.from(ofLayer ?? [])));
  return {
    routeMs: all(timings.map(({ routeMs }) => routeMs)),
    trainMs: timings[0].trainMs && all(timings.map(({ trainMs }) => trainMs)),
    tokens: timings.reduce((sum, { tokens }) => sum + tokens, 0),
  };
}
