import { median } from "d3-array";
import { objectOf, summaryColumns } from "./result-columns.ts";
import type { SummaryTableRow } from "./summary-table.ts";

/** A router's row of summary.csv for scripts, and its median of timing.csv, under the names of their columns. */
export function summaryObject(row: SummaryTableRow): object {
  return { ...objectOf(summaryColumns, row), route_ms_median: row.routeMs === null ? null : median(row.routeMs)! };
}
