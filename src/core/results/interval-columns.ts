import type { MetricColumn } from "./metric-columns.ts";

const intervalEnd = "_ci95";

/** The columns of intervals.csv before the swept parameters. */
export const variantColumns = ["scenario", "router", "kind"] as const;

/** Those behind them. */
export function measuredIntervalColumns(metrics: readonly MetricColumn[]): string[] {
  return ["seeds", ...metrics.flatMap(({ column }) => [column, intervalColumn(column)])];
}

/** The name of a metric's column with half the width of its 95 % confidence interval. */
export function intervalColumn(column: string): string {
  return column + intervalEnd;
}

/** The metric whose interval the column `column` holds; `column` itself where it holds none. */
export function metricOfColumn(column: string): string {
  return column.endsWith(intervalEnd) ? column.slice(0, -intervalEnd.length) : column;
}
