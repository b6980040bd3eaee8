import { ascending } from "d3-array";
import type { Colors } from "picocolors/types.js";
import type { ScoreKind } from "../../core/assignment.ts";
import { camelCase, type MetricColumn, metricColumns, metrics } from "../../core/metrics/catalogue.ts";
import type { RunSummary, RunTiming } from "../../core/metrics/run-summary.ts";
import { derivedFrom } from "../../core/registry.ts";
import { formatInterval, formatNumber, printable } from "../../core/results/format.ts";
import type { Interval } from "../../core/results/interval.ts";
import {
  intervalColumn,
  isMeanOfLayers,
  isPlacedRow,
  objectOf,
  type SummaryRow,
  summaryColumnsOf,
  trainingFiguresOf,
} from "../../core/results/result-columns.ts";
import type { Results } from "../../core/results/results.ts";
import { metricOf, metricsOf, shortParameterNames, type Variant } from "../../core/results/variants.ts";
import { sparklines } from "./sparkline.ts";
import { bestOf, columnsWithin, type FittedTable, formatTable, titlesLeftOut } from "./table.ts";

/** The style of a table of results. */
interface Style {
  readonly colors?: Colors;
  /** Characters; infinite by default. */
  readonly width?: number;
}

/** A router of a run, as the table shows it. */
export interface RunTableRow extends SummaryRow {
  /** Null for recorded choices. */
  readonly timing: RunTiming | null;
  /** The affinity of its dual regret; null for routers without dual regret. */
  readonly dualScores: ScoreKind | null;
}

interface ResultsColumn {
  readonly header: string;
  readonly cells: readonly string[];
  readonly isBest: readonly boolean[];
  readonly isText: boolean;
  readonly rank: number;
}

/** Columns up to this rank, loss and balance, stay on any terminal. */
const lastKeptRank = 2;
/** Ranks of table columns that are not in any file, among those of the metrics. */
const [worstLayerRank, sparklineRank, solverStepsRank] = [5.6, 8.5, 14];

/** The metrics of summary.csv that a terminal shows. */
const shownMetrics = derivedFrom([metricColumns], () => metricColumns.filter(({ header }) => header !== undefined));
const routeTime = metrics.flatMap(({ timing = [] }) => timing).find(({ header }) => header !== undefined)!;

/**
 * Formats the comparison of a run's routers for the terminal: a row per router with the main metrics, the most important first.
 * It leaves out metrics that apply to no router, and those that do not fit into `width` characters. The best of each column is
 * coloured. The first column names the rows: by router, unless they are the layers of one.
 */
export function formatRunTable<Row extends RunTableRow>(
  rows: readonly Row[],
  style: Style = {},
  { title, nameOf } = { title: "router", nameOf: ({ source }: Row) => source.router },
): FittedTable {
  const dualScores = new Set(rows.map((row) => row.dualScores).filter((scores) => scores !== null));
  const columns = shownMetrics().flatMap((metric) => {
    const error = metricColumns.find(({ errorOf }) => errorOf === metric.column);
    const errors = rows.map((row) => (error === undefined ? null : valueIn(row, error)));
    const intervals = rows.map((row, index): Interval | null => {
      const mean = valueIn(row, metric);
      return mean === null ? null : { mean, halfWidth: errors[index], count: 1 };
    });
    const hasErrors = errors.some((value) => value !== null);
    // Dual regret is in the routers' own affinities, which may not be comparable.
    const isComparable = metric.column !== "dual_regret_cumulative" || dualScores.size < 2;
    return metricTableColumn(
      { ...metric, header: metric.header + (hasErrors ? " ± s.e." : ""), better: isComparable ? metric.better : null },
      intervals,
    );
  });
  return fitted(
    [
      textColumn(title, rows.map(nameOf)),
      ...columns,
      ...numberColumn(
        "worst\nlayer",
        worstLayerRank,
        rows.map(({ worstLayer }) => worstLayer ?? null),
      ),
      ...maxVioLines(rows),
      ...numberColumn(
        "solver\nsteps",
        solverStepsRank,
        rows.map(({ summary }) => summary.solverSteps),
      ),
      ...numberColumn(routeTime.header!, routeTime.rank!, rows.map(routeMsOf)),
    ],
    style,
  );
}

/**
 * Formats the comparison of a sweep's variants for the terminal, like that of a run, with the swept values, and half the width of
 * the 95 % confidence interval after each mean.
 *
 * @param routeMs milliseconds to route a batch, by variant; null if unknown
 */
export function formatVariantTable(
  results: Results,
  variants: readonly Variant[],
  routeMs: readonly (number | null)[],
  style: Style = {},
): FittedTable {
  return fitted(
    [
      textColumn(
        "router",
        variants.map(({ router }) => router),
      ),
      ...shortParameterNames(results.parameters).map((name, index) =>
        textColumn(
          name,
          variants.map(({ parameters }) => parameters[results.parameters[index]]),
        ),
      ),
      ...shownMetrics().flatMap((metric) =>
        metricTableColumn(
          metric,
          variants.map((variant) => metricOf(results, variant, metric.column)),
        ),
      ),
      ...numberColumn(routeTime.header!, routeTime.rank!, routeMs),
    ],
    style,
  );
}

/** Returns a router's row of summary.csv and its medians of timing.csv for scripts, under the names of their columns. */
export function runObject(row: RunTableRow): object {
  const { timing } = row;
  const trainTime = metrics
    .flatMap((metric) => metric.timing ?? [])
    .find(({ column }) => column === "train_ms_median")!;
  return {
    ...objectOf(summaryColumnsOf(trainingFiguresOf([row]), isMeanOfLayers(row), isPlacedRow(row)), row),
    [routeTime.column]: routeMsOf(row),
    ...(timing !== null && timing.trainMs !== null && { [trainTime.column]: trainTime.value(timing) }),
  };
}

/**
 * Returns a variant of a sweep for scripts, under the names of the columns of intervals.csv and timing.csv.
 *
 * @param parameters its swept values, by path
 */
export function variantObject(
  results: Results,
  variant: Variant,
  parameters: Readonly<Record<string, unknown>>,
  routeMs: number | null,
): object {
  const values = metricsOf(results).flatMap(({ column }) => {
    const interval = metricOf(results, variant, column);
    return [
      [column, interval?.mean ?? null],
      [intervalColumn(column), interval?.halfWidth ?? null],
    ];
  });
  const { name, router, kind, members } = variant;
  return {
    name,
    router,
    kind,
    parameters,
    seeds: members.length,
    ...Object.fromEntries(values),
    [routeTime.column]: routeMs,
  };
}

/** Says in lines for the terminal in which affinities {@link formatRunTable} gives its figures. */
export function affinityLines(rows: readonly RunTableRow[], measured: ScoreKind): string[] {
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

function valueIn({ summary }: RunTableRow, { column }: MetricColumn): number | null {
  const value = summary[camelCase(column) as keyof RunSummary] as number | null;
  // Not known, as the drops of a recording that holds shares.
  return Number.isNaN(value) ? null : value;
}

function routeMsOf({ timing }: RunTableRow): number | null {
  return timing === null ? null : routeTime.value(timing);
}

/** Formats those `columns` that fit, in the order of their ranks. */
function fitted(columns: readonly ResultsColumn[], { colors, width = Number.POSITIVE_INFINITY }: Style): FittedTable {
  const ranked = columns.toSorted((a, b) => ascending(a.rank, b.rank));
  const header = ranked.map((column) => column.header);
  const rows = ranked[0].cells.map((_, row) => ranked.map(({ cells }) => cells[row]));
  const kept = columnsWithin(
    width,
    header,
    rows,
    ranked.map(({ rank }) => Math.max(0, rank - lastKeptRank)),
  );
  const text = formatTable(
    kept.map((column) => header[column]),
    rows.map((row) => kept.map((column) => row[column])),
    {
      ...(colors !== undefined && { colors }),
      isBest: (row, column) => ranked[kept[column]].isBest[row],
      alignRight: kept.map((column) => !ranked[column].isText),
    },
  );
  return { text, leftOut: titlesLeftOut(header, kept) };
}

function textColumn(header: string, texts: readonly string[]): ResultsColumn {
  return { header, cells: texts.map(printable), isBest: texts.map(() => false), isText: true, rank: 0 };
}

/** Returns no column if all values are null. */
function numberColumn(header: string, rank: number, values: readonly (number | null)[]): ResultsColumn[] {
  if (values.every((value) => value === null)) return [];
  return [{ header, cells: values.map(formatNumber), isBest: values.map(() => false), isText: false, rank }];
}

/** Returns no column if the metric applies to no row. */
function metricTableColumn(
  { header, rank, better, metric }: Pick<MetricColumn, "header" | "rank" | "better" | "metric">,
  intervals: readonly (Interval | null)[],
): ResultsColumn[] {
  if (intervals.every((interval) => interval === null)) return [];
  const means = intervals.map((interval) => interval?.mean ?? null);
  const factor = metric.unit === "fraction" ? 100 : 1;
  return [
    {
      header: header!,
      cells: intervals.map((interval) => formatInterval(interval, factor)),
      isBest: bestOf(means, better),
      isText: false,
      rank: rank!,
    },
  ];
}

/** Returns a column that draws the MaxVio of the batches of each of `rows`; none if there is only one batch. */
function maxVioLines(rows: readonly RunTableRow[]): ResultsColumn[] {
  if (rows.every(({ summary }) => summary.maxVioBatches.length < 2)) return [];
  const { lines, top } = sparklines(rows.map(({ summary }) => summary.maxVioBatches));
  return [{ ...textColumn(`MaxVio by step\n0 to ${formatNumber(top)}`, lines), rank: sparklineRank }];
}
