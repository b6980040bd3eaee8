import { mean } from "d3-array";
import { type MetricColumn, metricColumns, type RunColumnName } from "../metrics/catalogue.ts";
import { confidenceInterval, type Interval } from "./interval.ts";
import { cellText, measuredIntervalColumns, type ResultTable, variantColumns } from "./result-columns.ts";
import { cellOf, numberOf, type Results, type Run } from "./results.ts";

/** A router with its cell's parameters, over all its seeds: a line in a picture, a row in a table. */
export interface Variant {
  /** The router's name, followed by the swept values: `alf-lb updateRate=0.01`. Unique among the results. */
  readonly name: string;
  readonly router: string;
  readonly kind: string;
  /** Swept values as in summary.csv, by path; empty for a run. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The runs that include it, one per seed, and its row in the summary. */
  readonly members: readonly { readonly run: Run; readonly row: number }[];
}

/** Returns the variants of `results`, in the order of the summary. */
export function variantsOf(results: Results): Variant[] {
  const { summary, parameters, runs } = results;
  const shortNames = shortParameterNames(parameters);
  const variants = new Map<string, Variant & { members: { run: Run; row: number }[] }>();
  for (const run of runs) {
    for (const row of run.rows) {
      const router = cellOf(summary, row, "router");
      const values = Object.fromEntries(parameters.map((path) => [path, parameterOf(summary, row, path)]));
      const key = JSON.stringify([router, Object.values(values)]);
      const name = [router, ...parameters.map((path, i) => `${shortNames[i]}=${values[path]}`)].join(" ");
      const variant = variants.get(key);
      if (variant !== undefined) variant.members.push({ run, row });
      else {
        const kind = cellOf(summary, row, "kind");
        variants.set(key, { name, router, kind, parameters: values, members: [{ run, row }] });
      }
    }
  }
  return Array.from(variants.values());
}

/** Returns the metrics that the summary has a column for. */
export function metricsOf({ summary }: Results): MetricColumn[] {
  return metricColumns.filter(({ column }) => summary.columns.includes(column));
}

/** Returns a column's mean over the variant's seeds; null if the column is empty for all of them. */
export function metricOf({ summary }: Results, { members }: Variant, column: RunColumnName): Interval | null {
  const values = members.map(({ row }) => numberOf(summary, row, column)).filter((value) => value !== null);
  return confidenceInterval(values);
}

/** Returns a swept value; for a size, the one that was swept and not the one that recorded data led to. */
function parameterOf({ columns, rows }: ResultTable, row: number, path: string): string {
  return rows[row][columns.lastIndexOf(path)];
}

/** Returns the last key of each path, or the whole path if two end alike. */
export function shortParameterNames(paths: readonly string[]): string[] {
  const last = paths.map((path) => path.slice(path.lastIndexOf(".") + 1));
  return paths.map((path, i) => (last.indexOf(last[i]) === last.lastIndexOf(last[i]) ? last[i] : path));
}

/**
 * Returns the milliseconds that each variant took to route a batch: the median over the steps, averaged over the seeds;
 * null if no run recorded it. Wall-clock times differ on every run. Throws `InputError` if a timing.csv is malformed.
 */
export function routeTimes({ runs }: Results, variants: readonly Variant[]): (number | null)[] {
  const times = new Map(runs.map((run) => [run, run.files.routeMs()]));
  return variants.map(({ router, members }) => mean(members, ({ run }) => times.get(run)!.get(router)) ?? null);
}

/**
 * Returns intervals.csv: a row per variant, and for each metric the mean over its seeds and half the width of the mean's
 * 95 % confidence interval, empty if fewer than two seeds have the metric. `seeds` counts them.
 */
export function intervalTable(results: Results): ResultTable {
  const { name, parameters } = results;
  const metrics = metricsOf(results);
  const rows = variantsOf(results).map((variant) => [
    name,
    variant.router,
    variant.kind,
    ...parameters.map((path) => variant.parameters[path]),
    ...[
      variant.members.length,
      ...metrics.flatMap(({ column }) => {
        const interval = metricOf(results, variant, column);
        return [interval?.mean ?? null, interval?.halfWidth ?? null];
      }),
    ].map(cellText),
  ]);
  return {
    file: "intervals.csv",
    columns: [...variantColumns, ...parameters, ...measuredIntervalColumns(metrics)],
    rows,
  };
}
