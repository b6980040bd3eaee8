import { mean } from "d3-array";
import { type MetricColumn, metricColumns, type RunColumnName } from "../metrics/catalogue.ts";
import { confidenceInterval, type Interval } from "./interval.ts";
import { cellOf, numberOf, type Results, type ResultTable, type Run } from "./results.ts";

/** A router with the parameters of its cell, over all the seeds it was run with: a line of a picture, a row of a table. */
export interface Variant {
  /** The router's name, and the swept values behind it: `alf-lb updateRate=0.01`. Unique among the results. */
  readonly name: string;
  readonly router: string;
  readonly kind: string;
  /** The swept values as summary.csv writes them, by path; empty for a run. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The runs it took part in, one a seed, and its row in the summary. */
  readonly members: readonly { readonly run: Run; readonly row: number }[];
}

/** The variants of `results`, in the order of the summary. */
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

/** The metrics that the summary has a column of. */
export function metricsOf({ summary }: Results): MetricColumn[] {
  return metricColumns.filter(({ column }) => summary.columns.includes(column));
}

/** A column's mean over the variant's seeds; null where the column is empty for all of them. */
export function metricOf({ summary }: Results, { members }: Variant, column: RunColumnName): Interval | null {
  const values = members.map(({ row }) => numberOf(summary, row, column)).filter((value) => value !== null);
  return confidenceInterval(values);
}

/** A swept value; of a size, the one that was swept and not the one that recorded data came to. */
function parameterOf({ columns, rows }: ResultTable, row: number, path: string): string {
  return rows[row][columns.lastIndexOf(path)];
}

/** The last key of each path, or all of it where two paths end alike. */
export function shortParameterNames(paths: readonly string[]): string[] {
  const last = paths.map((path) => path.slice(path.lastIndexOf(".") + 1));
  return paths.map((path, i) => (last.indexOf(last[i]) === last.lastIndexOf(last[i]) ? last[i] : path));
}

/**
 * Milliseconds that each variant took to route a batch: the median over the steps, averaged over the seeds; null if no run
 * recorded it. Wall-clock time, so never the same twice. Throws `InputError` if a timing.csv is malformed.
 */
export function routeTimes({ runs }: Results, variants: readonly Variant[]): (number | null)[] {
  const times = new Map(runs.map((run) => [run, run.files.routeMs()]));
  return variants.map(({ router, members }) => mean(members, ({ run }) => times.get(run)!.get(router)) ?? null);
}
