import { createCsvFile } from "./csv-file.ts";
import { metricColumns } from "./results/metric-columns.ts";
import type { Results } from "./results/results.ts";
import { metricOf, variantsOf } from "./results/variants.ts";

const intervalEnd = "_ci95";
const firstColumns = ["scenario", "router", "kind"] as const;
const metrics = metricColumns.map(({ column }) => column);
const measuredColumns = ["seeds", ...metrics.flatMap((column) => [column, intervalColumn(column)])];

/** The columns of intervals.csv besides the swept parameters, which stand behind `kind`. */
export const intervalColumns: readonly string[] = [...firstColumns, ...measuredColumns];

/** The name of a metric's column with half the width of its 95 % confidence interval. */
export function intervalColumn(column: string): string {
  return column + intervalEnd;
}

/** The metric whose interval the column `column` holds; `column` itself where it holds none. */
export function metricOfColumn(column: string): string {
  return column.endsWith(intervalEnd) ? column.slice(0, -intervalEnd.length) : column;
}

/**
 * Writes intervals.csv: a row per variant of a sweep, and for each metric the mean over its seeds and half the width of
 * the mean's 95 % confidence interval, which is empty where fewer than two seeds have the metric. `seeds` counts them.
 */
export function writeIntervals(file: string, results: Results): void {
  const csv = createCsvFile(file, [...firstColumns, ...results.parameters, ...measuredColumns]);
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
