import type { MetricColumn, RunColumnName } from "../../core/metrics/catalogue.ts";
import type { ComparedMetric, Comparison, MeanChange } from "../../core/results/comparison.ts";
import { type Interval, meanDifference, meanOfDifferences } from "../../core/results/interval.ts";
import type { Results } from "../../core/results/results.ts";
import { metricOf, type Variant, variantsOf } from "../../core/results/variants.ts";
import { folderNames } from "./folder-names.ts";
import { createStreamReader, pairedDifferences, type StreamOf, type VariantOf } from "./paired-seeds.ts";
import { differingFields, differingSizes, sourceOf } from "./scenario-fields.ts";

/**
 * Puts `results`, two or more, side by side: the metrics `columns` of every router, with the difference to the first of
 * them. Routers are matched by name and swept values; a metric that applies to none is left out. Intervals of differences
 * pair the seeds where both ran the same on the same stream. Throws `InputError` where a file is malformed.
 */
export function compareResults(results: readonly Results[], columns: readonly MetricColumn[]): Comparison {
  const sources = results.map(sourceOf);
  const names = folderNames(results.map(({ folder }) => folder));
  const variants = results.map((one) => new Map(variantsOf(one).map((variant) => [variant.name, variant])));
  const streamOf = createStreamReader();
  const routers = Array.from(new Set(variants.flatMap((byName) => Array.from(byName.keys()))));

  function compareMetric(metric: MetricColumn): ComparedMetric {
    const rows = routers.map((router) => {
      const sides = results.map((one, position) => sideOf(one, variants[position].get(router), metric.column));
      const [reference] = sides;
      const cells = sides.map((side, position) => {
        if (side === null) return null;
        const change = position === 0 || reference === null ? null : changeFrom(reference, side, metric, streamOf);
        return { ...side.interval, change };
      });
      return { router, cells };
    });
    const { column, label, better, isMain } = metric;
    return { column, label, better, isMain, rows: rows.filter(({ cells }) => cells.some((cell) => cell !== null)) };
  }

  const compared = columns.map(compareMetric);
  // Scenarios name their sizes themselves.
  const sizes = sources.every((source) => source?.kind === "scenario") ? [] : differingSizes(results);
  const fields = differingFields(sources).filter(({ path }) => !sizes.some((size) => size.path === path));
  return {
    folders: results.map(({ folder }, position) => ({
      folder,
      name: names[position],
      source: sources[position]?.kind ?? null,
    })),
    fields: [...sizes, ...fields],
    metrics: compared.filter(({ rows }) => rows.length > 0),
    emptyMetrics: compared.filter(({ rows }) => rows.length === 0).map(({ column }) => column),
    unmatchedFolders: Array.from(variants.keys()).filter(
      (position) => !Array.from(variants[position].keys()).some((router) => variants[0].has(router)),
    ),
  };
}

/** What one of the results has of a router in one metric. */
interface Side extends VariantOf {
  readonly interval: Interval;
}

function sideOf(results: Results, variant: Variant | undefined, column: RunColumnName): Side | null {
  const interval = variant === undefined ? null : metricOf(results, variant, column);
  return variant === undefined || interval === null ? null : { results, variant, interval };
}

function changeFrom(reference: Side, side: Side, { column, better }: MetricColumn, streamOf: StreamOf): MeanChange {
  const differences = pairedDifferences(reference, side, column, streamOf);
  const mean =
    differences === null ? meanDifference(side.interval, reference.interval) : meanOfDifferences(differences);
  const change = { ...mean, pairedSeeds: differences?.length ?? null };
  if (change.difference === 0 || better === null) return { ...change, direction: null };
  const isBetter = change.difference < 0 === (better === "lower");
  return { ...change, direction: isBetter ? "better" : "worse" };
}
