import { createCsvFile } from "./csv-file.ts";
import { metricColumns } from "./results/metric-columns.ts";
import type { Results } from "./results/results.ts";
import { metricOf, variantsOf } from "./results/variants.ts";

/** The name of a metric's column with half the width of its 95 % confidence interval. */
export function intervalColumn(column: string): string {
  return `${column}_ci95`;
}

/**
 * Writes intervals.csv: a row per variant of a sweep, and for each metric the mean over its seeds and half the width of
 * the mean's 95 % confidence interval, which is empty where fewer than two seeds have the metric. `seeds` counts them.
 */
export function writeIntervals(file: string, results: Results): void {
  const metrics = metricColumns.map(({ column }) => column);
  const csv = createCsvFile(file, [
    "scenario",
    "router",
    "kind",
    ...results.parameters,
    "seeds",
    ...metrics.flatMap((column) => [column, intervalColumn(column)]),
  ]);
  for (const variant of variantsOf(results)) {
    csv.write([
      results.name,
      variant.router,
      variant.kind,
      ...results.parameters.map((path) => variant.parameters[path]),
      variant.members.length,
      ...metrics.flatMap((column) => {
        const interval = metricOf(results, variant, column);
        return [interval?.mean ?? null, interval?.halfWidth ?? null];
      }),
    ]);
  }
  csv.close();
}
