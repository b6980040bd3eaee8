import { median } from "d3-array";
import type { RunSummary } from "../metrics/run-summary.ts";
import { formatTable } from "./table.ts";

export interface SummaryTableRow {
  readonly router: string;
  readonly summary: RunSummary;
  /** Of the whole run; null for routers without a bias. */
  readonly dualRegret: number | null;
  /** Milliseconds that `route` took, for each step; null for recorded choices. */
  readonly routeMs: readonly number[] | null;
}

const columns: readonly { header: string; value: (row: SummaryTableRow) => string | number | null }[] = [
  { header: "router", value: ({ router }) => router },
  { header: "MaxVio\nrun", value: ({ summary }) => summary.maxVioGlobal },
  { header: "MaxVio\nbatch", value: ({ summary }) => summary.maxVioBatchMean },
  { header: "MaxVio\np95", value: ({ summary }) => summary.maxVioBatchP95 },
  { header: "load\nCV", value: ({ summary }) => summary.loadCv },
  { header: "idle\n%", value: ({ summary }) => 100 * summary.idleFractionMean },
  { header: "dead", value: ({ summary }) => summary.deadExperts },
  { header: "dropped\n%", value: ({ summary }) => 100 * summary.droppedFraction },
  { header: "score", value: ({ summary }) => summary.score },
  { header: "regret\nmean", value: ({ summary }) => summary.regretMean },
  { header: "dual\nregret", value: ({ dualRegret }) => dualRegret },
  { header: "churn\n%", value: ({ summary }) => (summary.churn === null ? null : 100 * summary.churn) },
  { header: "step\ntime", value: ({ summary }) => summary.stepTimeMean },
  { header: "solver\nsteps", value: ({ summary }) => summary.solverSteps },
  { header: "route\nms", value: ({ routeMs }) => (routeMs === null ? null : median(routeMs)!) },
];

/**
 * The comparison of routers that the terminal shows: one row per router, the main metrics of the run, without the columns
 * that apply to none of them.
 */
export function formatSummaryTable(rows: readonly SummaryTableRow[]): string {
  const shown = columns.filter(({ value }) => rows.some((row) => value(row) !== null));
  return formatTable(
    shown.map(({ header }) => header),
    rows.map((row) => shown.map(({ value }) => value(row))),
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
