import type { Colors } from "picocolors/types.js";
import { formatInterval, formatNumber, printable } from "../../core/results/format.ts";
import { metricColumns } from "../../core/results/metric-columns.ts";
import { metricOf, shortParameterNames, type Variant } from "../../core/results/variants.ts";
import type { Results } from "../../node/files/results.ts";
import { bestOf, columnsWithin, type FittedTable, formatTable, titlesLeftOut } from "./table.ts";

/** A metric that the table has room for. */
interface TableMetric {
  readonly column: string;
  readonly header: string;
  readonly unit: number;
  /** As `columnsWithin` takes it. */
  readonly rank: number;
}

const metrics: readonly TableMetric[] = [
  { column: "task_loss", header: "task\nloss", unit: 1, rank: 0 },
  { column: "max_vio_batch_mean", header: "MaxVio\nbatch", unit: 1, rank: 0 },
  { column: "regret_mean", header: "regret\nmean", unit: 1, rank: 1 },
  { column: "score", header: "score", unit: 1, rank: 2 },
  { column: "max_vio_global", header: "MaxVio\nrun", unit: 1, rank: 3 },
  { column: "idle_fraction_mean", header: "idle\n%", unit: 100, rank: 4 },
  { column: "dropped_fraction", header: "dropped\n%", unit: 100, rank: 5 },
  { column: "dual_regret_cumulative", header: "dual\nregret", unit: 1, rank: 6 },
  { column: "dead_experts", header: "dead", unit: 1, rank: 7 },
  { column: "step_time_mean", header: "step\ntime", unit: 1, rank: 8 },
];

interface VariantTableColumn {
  readonly header: string;
  readonly cells: readonly string[];
  readonly isBest: readonly boolean[];
  readonly isText: boolean;
  /** As `columnsWithin` takes it. */
  readonly rank: number;
}

/**
 * The comparison of a sweep's variants that the terminal shows: the swept values, and the main metrics with half the width
 * of their 95 % confidence interval, without those that apply to none and as many as fit into `width` characters.
 *
 * @param routeMs milliseconds to route a batch, by variant; null where it is not known
 */
export function formatVariantTable(
  results: Results,
  variants: readonly Variant[],
  routeMs: readonly (number | null)[],
  { colors, width = Number.POSITIVE_INFINITY }: { readonly colors?: Colors; readonly width?: number } = {},
): FittedTable {
  const columns = [
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
    ...metrics.flatMap((metric) => metricColumn(results, variants, metric)),
    { ...textColumn("route\nms", routeMs.map(formatNumber)), isText: false, rank: 3 },
  ];
  const header = columns.map((column) => column.header);
  const rows = variants.map((_, row) => columns.map(({ cells }) => cells[row]));
  const kept = columnsWithin(
    width,
    header,
    rows,
    columns.map(({ rank }) => rank),
  );
  const text = formatTable(
    kept.map((column) => header[column]),
    rows.map((row) => kept.map((column) => row[column])),
    {
      ...(colors !== undefined && { colors }),
      isBest: (row, column) => columns[kept[column]].isBest[row],
      alignRight: kept.map((column) => !columns[column].isText),
    },
  );
  return { text, leftOut: titlesLeftOut(header, kept) };
}

function textColumn(header: string, cells: readonly string[]): VariantTableColumn {
  return { header, cells: cells.map(printable), isBest: cells.map(() => false), isText: true, rank: 0 };
}

/** None where the metric applies to no variant. */
function metricColumn(
  results: Results,
  variants: readonly Variant[],
  { column, header, unit, rank }: TableMetric,
): VariantTableColumn[] {
  const intervals = variants.map((variant) => metricOf(results, variant, column));
  if (intervals.every((interval) => interval === null)) return [];
  const { better } = metricColumns.find((metric) => metric.column === column)!;
  return [
    {
      header,
      cells: intervals.map((interval) => formatInterval(interval, unit)),
      isBest: bestOf(
        intervals.map((interval) => interval?.mean ?? null),
        better,
      ),
      isText: false,
      rank,
    },
  ];
}
