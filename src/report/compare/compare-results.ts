import type { Interval } from "../results/interval.ts";
import type { MetricColumn } from "../results/metric-columns.ts";
import type { Results } from "../results/results.ts";
import { metricOf, variantsOf } from "../results/variants.ts";
import type { ComparedCell, ComparedMetric, Comparison, MeanChange } from "./comparison.ts";
import { folderNames } from "./folder-names.ts";
import { meanDifference } from "./mean-difference.ts";
import { differingFields, scenarioFields } from "./scenario-fields.ts";

/**
 * Puts `results`, two or more, side by side: the metrics `columns` of every router, with the difference to the first of
 * them. Routers are matched by name and swept values; a metric that applies to none is left out. Throws `InputError` where
 * a file is malformed.
 */
export function compareResults(results: readonly Results[], columns: readonly MetricColumn[]): Comparison {
  const scenarios = results.map(scenarioFields);
  const names = folderNames(results.map(({ folder }) => folder));
  const variants = results.map((one) => new Map(variantsOf(one).map((variant) => [variant.name, variant])));
  const routers = Array.from(new Set(variants.flatMap((byName) => Array.from(byName.keys()))));

  function compareMetric(metric: MetricColumn): ComparedMetric {
    const rows = routers.map((router) => {
      const intervals = results.map((one, position) => {
        const variant = variants[position].get(router);
        return variant === undefined ? null : metricOf(one, variant, metric.column);
      });
      return { router, cells: compareIntervals(intervals, metric) };
    });
    return { ...metric, rows: rows.filter(({ cells }) => cells.some((cell) => cell !== null)) };
  }

  return {
    folders: results.map(({ folder }, position) => ({
      folder,
      name: names[position],
      hasScenario: scenarios[position] !== null,
    })),
    fields: differingFields(scenarios),
    metrics: columns.map(compareMetric).filter(({ rows }) => rows.length > 0),
  };
}

function compareIntervals(
  intervals: readonly (Interval | null)[],
  metric: MetricColumn,
): readonly (ComparedCell | null)[] {
  const [reference] = intervals;
  return intervals.map((interval, position) => {
    if (interval === null) return null;
    const change = position === 0 || reference === null ? null : changeFrom(reference, interval, metric);
    return { ...interval, change };
  });
}

function changeFrom(reference: Interval, interval: Interval, { better }: MetricColumn): MeanChange {
  const mean = meanDifference(interval, reference);
  if (mean.difference === 0 || better === null) return { ...mean, direction: null };
  const isBetter = mean.difference < 0 === (better === "lower");
  return { ...mean, direction: isBetter ? "better" : "worse" };
}
