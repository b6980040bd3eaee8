import { median } from "d3-array";
import type { RunSummary } from "../metrics/run-summary.ts";
import { formatTable } from "./table.ts";

export interface SummaryTableRow {
  readonly router: string;
  readonly summary: RunSummary;
  /** Milliseconds that `route` took, for each step; null for recorded choices. */
  readonly routeMs: readonly number[] | null;
}

/** The comparison of routers that the terminal shows: one row per router, the main metrics of the run. */
export function formatSummaryTable(rows: readonly SummaryTableRow[]): string {
  const header = [
    "router",
    "MaxVio run",
    "MaxVio batch",
    "batch p95",
    "load CV",
    "idle %",
    "dead",
    "dropped %",
    "score",
    "churn %",
    "step time",
    "solver steps",
    "route ms",
  ];
  return formatTable(
    header,
    rows.map(({ router, summary, routeMs }) => [
      router,
      summary.maxVioGlobal,
      summary.maxVioBatchMean,
      summary.maxVioBatchP95,
      summary.loadCv,
      100 * summary.idleFractionMean,
      summary.deadExperts,
      100 * summary.droppedFraction,
      summary.score,
      summary.churn === null ? null : 100 * summary.churn,
      summary.stepTimeMean,
      summary.solverSteps,
      routeMs === null ? null : median(routeMs)!,
    ]),
  );
}

/** One line for each router whose plans missed their tolerance, so that it is never silent. */
export function convergenceWarnings(rows: readonly SummaryTableRow[]): string[] {
  return rows
    .filter(({ summary }) => (summary.notConvergedSteps ?? 0) > 0)
    .map(
      ({ router, summary }) =>
        `${router}: on ${summary.notConvergedSteps} of ${summary.solverSteps} steps the plan missed its tolerance (marginal_error in steps.csv)`,
    );
}
