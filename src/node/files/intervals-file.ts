import { measuredIntervalColumns, variantColumns } from "../../core/results/result-columns.ts";
import type { Results } from "../../core/results/results.ts";
import { metricOf, metricsOf, variantsOf } from "../../core/results/variants.ts";
import { createCsvFile } from "./csv-file.ts";

/**
 * Writes intervals.csv: a row per variant of a sweep, and for each metric the mean over its seeds and half the width of
 * the mean's 95 % confidence interval, which is empty where fewer than two seeds have the metric. `seeds` counts them.
 */
export function writeIntervals(file: string, results: Results): void {
  const metrics = metricsOf(results);
  const csv = createCsvFile(file, [...variantColumns, ...results.parameters, ...measuredIntervalColumns(metrics)]);
  for (const variant of variantsOf(results)) {
    csv.write([
      results.name,
      variant.router,
      variant.kind,
      ...results.parameters.map((path) => variant.parameters[path]),
      variant.members.length,
      ...metrics.flatMap(({ column }) => {
        const interval = metricOf(results, variant, column);
        return [interval?.mean ?? null, interval?.halfWidth ?? null];
      }),
    ]);
  }
  csv.close();
}
