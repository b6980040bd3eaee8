import { median } from "d3-array";
import type { Colors } from "picocolors/types.js";
import type { ScoreKind } from "../../core/assignment.ts";
import type { RunSummary } from "../../core/metrics/run-summary.ts";
import { formatInterval, formatNumber, printable } from "../../core/results/format.ts";
import type { SummaryRow } from "../../core/results/result-columns.ts";
import { sparklines } from "./sparkline.ts";
import { bestOf, columnsWithin, type FittedTable, formatTable, type TableCell, titlesLeftOut } from "./table.ts";

export interface SummaryTableRow extends SummaryRow {
  /** Milliseconds that `route` took, for each step; null for recorded choices. */
  readonly routeMs: readonly number[] | null;
  /** Milliseconds that the stream learnt, for each step; null where it does not train. */
  readonly trainMs: readonly number[] | null;
  /** The affinities that its dual regret is in; null for routers without. */
  readonly dualScores: ScoreKind | null;
}

/** A column of the table. */
interface SummaryTableColumn {
  readonly header: string;
  readonly value: (row: SummaryTableRow) => TableCell;
  /** What the cell shows of a number; by default the number alone. */
  readonly text?: (row: SummaryTableRow) => string;
  /** Which way is better, for highlighting; null where neither is. */
  readonly better: "lower" | "higher" | null;
  /** Where the table is too wide, the column of the highest rank goes first, and one of rank 0 never. */
  readonly rank: number;
}

/** A column with the MaxVio of the batches as a line, for each of `rows`; none where there is one batch. */
function maxVioLines(rows: readonly SummaryTableRow[]): SummaryTableColumn[] {
  if (rows.every(({ summary }) => summary.maxVioBatches.length < 2)) return [];
  const { lines, top } = sparklines(rows.map(({ summary }) => summary.maxVioBatches));
  return [
    {
      header: `MaxVio by step\n0 to ${formatNumber(top)}`,
      value: (row) => lines[rows.indexOf(row)],
      better: null,
      rank: 5,
    },
  ];
}

function summaryTableColumns(rows: readonly SummaryTableRow[]): SummaryTableColumn[] {
  return [
    { header: "router", value: ({ source }) => printable(source.router), better: null, rank: 0 },
    { header: "task\nloss", value: ({ summary }) => summary.taskLoss, better: "lower", rank: 0 },
    { header: "MaxVio\nrun", value: ({ summary }) => summary.maxVioGlobal, better: "lower", rank: 0 },
    { header: "MaxVio\nbatch", value: ({ summary }) => summary.maxVioBatchMean, better: "lower", rank: 0 },
    { header: "MaxVio\np95", value: ({ summary }) => summary.maxVioBatchP95, better: "lower", rank: 8 },
    ...maxVioLines(rows),
    { header: "load\nCV", value: ({ summary }) => summary.loadCv, better: "lower", rank: 12 },
    { header: "idle\n%", value: ({ summary }) => 100 * summary.idleFractionMean, better: "lower", rank: 1 },
    { header: "dead", value: ({ summary }) => summary.deadExperts, better: "lower", rank: 6 },
    { header: "dropped\n%", value: ({ summary }) => 100 * summary.droppedFraction, better: "lower", rank: 4 },
    { header: "score", value: ({ summary }) => summary.score, better: "higher", rank: 2 },
    {
      header: rows.some(({ summary }) => summary.regretSe !== null) ? "regret\nmean ± s.e." : "regret\nmean",
      value: ({ summary }) => summary.regretMean,
      text: ({ summary }) => regretText(summary),
      better: "lower",
      rank: 1,
    },
    {
      header: "dual\nregret",
      value: ({ dualRegret }) => dualRegret,
      // In units of the routers' own affinities, which may not compare.
      better:
        new Set(rows.map(({ dualScores }) => dualScores).filter((scores) => scores !== null)).size > 1 ? null : "lower",
      rank: 7,
    },
    {
      header: "churn\n%",
      value: ({ summary }) => (summary.churn === null ? null : 100 * summary.churn),
      better: null,
      rank: 11,
    },
    { header: "step\ntime", value: ({ summary }) => summary.stepTimeMean, better: "lower", rank: 9 },
    { header: "solver\nsteps", value: ({ summary }) => summary.solverSteps, better: null, rank: 10 },
    {
      header: "route\nms",
      value: ({ routeMs }) => (routeMs === null ? null : median(routeMs)!),
      better: null,
      rank: 3,
    },
  ];
}

/** Mean regret, and its standard error if it was sampled. */
function regretText({ regretMean, regretSe }: RunSummary): string {
  return formatInterval(regretMean === null ? null : { mean: regretMean, halfWidth: regretSe, count: 1 });
}

/**
 * The comparison of routers that the terminal shows: one row per router, the main metrics of the run, without the columns
 * that apply to none of them, and as many of the others as fit into `width` characters. The best of each column is
 * coloured.
 */
export function formatSummaryTable(
  rows: readonly SummaryTableRow[],
  { colors, width = Number.POSITIVE_INFINITY }: { readonly colors?: Colors; readonly width?: number } = {},
): FittedTable {
  const columns = summaryTableColumns(rows).filter(({ value }) => rows.some((row) => value(row) !== null));
  const values = columns.map(({ value }) => rows.map(value));
  const cells = rows.map((row, index) =>
    columns.map(({ text }, column) => (text === undefined ? values[column][index] : text(row))),
  );
  const header = columns.map((column) => column.header);
  const kept = columnsWithin(
    width,
    header,
    cells,
    columns.map(({ rank }) => rank),
  );
  const best = kept.map((column) => {
    const numbers = values[column].map((cell) => (typeof cell === "number" ? cell : null));
    return bestOf(numbers, columns[column].better);
  });
  const text = formatTable(
    kept.map((column) => header[column]),
    cells.map((row) => kept.map((column) => row[column])),
    {
      ...(colors !== undefined && { colors }),
      isBest: (row, column) => best[column][row],
      alignRight: kept.map((column) => values[column].every((value) => typeof value !== "string")),
    },
  );
  return { text, leftOut: titlesLeftOut(header, kept) };
}

/** In which affinities the figures of {@link formatSummaryTable} are, in lines for the terminal. */
export function affinityLines(rows: readonly SummaryTableRow[], measured: ScoreKind): string[] {
  const hasRegret = rows.some(({ summary }) => summary.regretMean !== null);
  const withDual = rows.filter(({ dualScores }) => dualScores !== null);
  const kinds = new Set(withDual.map(({ dualScores }) => dualScores));
  const own =
    kinds.size === 1
      ? `${Array.from(kinds)[0]}`
      : withDual.map(({ source, dualScores }) => `${printable(source.router)} ${dualScores}`).join(", ");
  return [
    `${hasRegret ? "Score and regret are" : "Score is"} measured in ${measured} affinity, for all routers.`,
    ...(withDual.length === 0 ? [] : [`Dual regret is in the router's own affinity: ${own}.`]),
  ];
}
