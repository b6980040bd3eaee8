import { median } from "d3-array";
import { isTrained, objectOf, summaryColumnsOf } from "../../core/results/result-columns.ts";
import type { SummaryTableRow } from "./summary-table.ts";

/** A router's row of summary.csv for scripts, and its medians of timing.csv, under the names of their columns. */
export function summaryObject(row: SummaryTableRow): object {
  const { routeMs, trainMs } = row;
  return {
    ...objectOf(summaryColumnsOf(isTrained(row)), row),
    route_ms_median: routeMs === null ? null : median(routeMs)!,
    ...(trainMs !== null && { train_ms_median: median(trainMs)! }),
  };
}
