import { ascending, mean } from "d3-array";
import { isAbsent } from "../../results/layers.ts";
import { paretoFront, priceOf } from "../../results/recommendation.ts";
import type { ResultTable } from "../../results/result-columns.ts";
import {
  cellOf,
  type LayerLoads,
  type LoadSeries,
  numberOf,
  type PlacedLoads,
  type Results,
  type RunFiles,
  type StepSeries,
} from "../../results/results.ts";
import { metricOf, type Variant, variantsOf } from "../../results/variants.ts";

/** Columns of every steps.csv that pictures show. */
const stepColumns = [
  "max_vio",
  "idle_fraction",
  "regret_cumulative",
  "dual_regret_cumulative",
  "step_time",
  "solver_iterations",
] as const;
/** Columns of steps.csv if the stream trains. */
const trainingColumns = ["task_loss"] as const;
/** Columns of steps.csv if the scenario places experts: without a placement, with the first, with that in force, and the bound. */
export const placementColumns = ["unplaced_step_time", "stale_step_time", "step_time", "step_time_bound"] as const;

/** A variant with its step-by-step data. */
export interface VariantData extends Variant {
  /** Decides its colour and dash. Featured variants come first, so that they all differ. */
  readonly position: number;
  /** Whether pictures tell it apart from the others; all are if there are few. */
  readonly isFeatured: boolean;
  /** One per seed that has a steps.csv; empty if the variant is not featured. */
  readonly series: readonly StepSeries[];
  /** Loads of the first seed; null if loads.csv is missing or of several layers, or the variant is not featured. */
  readonly loads: LoadSeries | null;
  /** Loads of GPUs of the first seed, by layer; null if the run places no experts, or the variant is not featured. */
  readonly gpuLoads: readonly PlacedLoads[] | null;
  /** By rising id; null if the run has one layer, or the variant is not featured. */
  readonly layers: readonly LayerData[] | null;
}

/** What is known of one layer of a variant. */
export interface LayerData {
  /** The model's id. */
  readonly layer: number;
  /** MaxVio of the run, mean over the seeds; null if the layer has no load. */
  readonly maxVio: number | null;
  /** `[experts]`, summed over the steps in loads.csv of the first seed; null if the file is missing. */
  readonly load: readonly number[] | null;
  /** Number of those steps. */
  readonly steps: number;
}

/** Everything pictures are made from. */
export interface ReportData {
  readonly results: Results;
  /** In the order of the summary. */
  readonly variants: readonly VariantData[];
}

/**
 * Reads the files of `results` that pictures need, only for featured variants: memory does not grow with a sweep.
 * Throws `InputError` if a file is malformed.
 *
 * @param further columns of steps.csv besides those in the report's own pictures
 */
export async function readReportData(results: Results, further: readonly string[] = []): Promise<ReportData> {
  const variants = variantsOf(results);
  const optional = Array.from(new Set([...trainingColumns, ...placementColumns, ...further])).filter(
    (column) => !(stepColumns as readonly string[]).includes(column),
  );
  const featured = featuredVariants(results, variants);
  const steps = new Map<Variant, StepSeries[]>();
  const loads = new Map<Variant, LoadSeries>();
  const layerLoads = new Map<Variant, LayerLoads>();
  const gpuLoads = new Map<Variant, readonly PlacedLoads[]>();
  const layerTables = new Map(results.runs.map(({ files }) => [files, files.layers()]));
  for (const run of results.runs) {
    const taking = featured.filter(({ members }) => members.some((member) => member.run === run));
    if (taking.length === 0) continue;
    const stepSeries = await run.files.stepSeries(stepColumns, optional);
    for (const variant of taking) {
      const series = stepSeries.get(variant.router);
      if (series !== undefined) steps.set(variant, [...(steps.get(variant) ?? []), series]);
    }
    const first = taking.filter(({ members }) => members[0].run === run);
    if (first.length === 0) continue;
    const [loadSeries, loadsByLayer] = [await run.files.loadSeries(), await run.files.layerLoads()];
    const ofGpus = await run.files.gpuLoads();
    for (const variant of first) {
      const [series, ofLayers] = [loadSeries.get(variant.router), loadsByLayer.get(variant.router)];
      if (series !== undefined) loads.set(variant, series);
      if (ofLayers !== undefined) layerLoads.set(variant, ofLayers);
      const placed = ofGpus.get(variant.router);
      if (placed !== undefined) gpuLoads.set(variant, placed);
    }
  }
  const ordered = Array.from(new Set([...featured, ...variants]));
  return {
    results,
    variants: variants.map((variant) => ({
      ...variant,
      position: ordered.indexOf(variant),
      isFeatured: featured.includes(variant),
      series: steps.get(variant) ?? [],
      loads: loads.get(variant) ?? null,
      gpuLoads: gpuLoads.get(variant) ?? null,
      layers: featured.includes(variant) ? layersOf(variant, layerTables, layerLoads.get(variant)) : null,
    })),
  };
}

/** Joins what layers.csv of a variant's seeds and loads.csv of the first say of each layer; null if there is no layers.csv. */
function layersOf(
  { router, members }: Variant,
  tables: ReadonlyMap<RunFiles, ResultTable | null>,
  loads: LayerLoads | undefined,
): LayerData[] | null {
  const found = new Map<number, number[]>();
  for (const { run } of members) {
    const table = tables.get(run.files) ?? null;
    for (let row = 0; row < (table?.rows.length ?? 0); row++) {
      if (cellOf(table!, row, "router") !== router) continue;
      const layer = numberOf(table!, row, "layer")!;
      const idleFractionMean = numberOf(table!, row, "idle_fraction_mean");
      const maxVio = isAbsent({ idleFractionMean }) ? null : numberOf(table!, row, "max_vio_global");
      found.set(layer, [...(found.get(layer) ?? []), ...(maxVio === null ? [] : [maxVio])]);
    }
  }
  if (found.size === 0) return null;
  return Array.from(found, ([layer, values]) => ({
    layer,
    maxVio: mean(values) ?? null,
    load: loads?.layers.find((one) => one.layer === layer)?.load ?? null,
    steps: loads?.steps ?? 0,
  })).sort((a, b) => ascending(a.layer, b.layer));
}

/** Up to this many variants, each has its own line in pictures. */
const mostFeatured = 14;
/** If there are more variants, this many have a line. */
const featuredOfMany = 12;

/**
 * Returns the variants that pictures tell apart: all if there are few, otherwise the best, in order. Those on the
 * Pareto front of price and MaxVio come first, then the others by MaxVio. If several are equal in both, like routers
 * that a swept parameter does not affect, all but the first come last.
 */
export function featuredVariants(results: Results, variants: readonly Variant[]): readonly Variant[] {
  if (variants.length <= mostFeatured) return variants;
  const { intervals } = priceOf(results, variants);
  const points = variants.map((variant, position) => ({
    variant,
    x: intervals[position]?.mean ?? null,
    y: metricOf(results, variant, "max_vio_batch_mean")?.mean ?? Number.POSITIVE_INFINITY,
  }));
  const withPrice = points.filter((point): point is typeof point & { x: number } => point.x !== null);
  const front = new Set(paretoFront(withPrice).map((position) => withPrice[position].variant));
  const seen = new Set<string>();
  const isRepeated = new Map(
    points.map(({ variant, x, y }) => {
      const place = `${variant.router} ${x} ${y}`;
      const repeated = seen.has(place);
      seen.add(place);
      return [variant, repeated];
    }),
  );
  const rankOf = (variant: Variant) => (isRepeated.get(variant) ? 2 : front.has(variant) ? 0 : 1);
  return points
    .sort((a, b) => rankOf(a.variant) - rankOf(b.variant) || ascending(a.y, b.y))
    .slice(0, featuredOfMany)
    .map(({ variant }) => variant);
}
