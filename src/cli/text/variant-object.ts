import { intervalColumn } from "../../core/results/interval-columns.ts";
import { metricOf, metricsOf, type Variant } from "../../core/results/variants.ts";
import type { Results } from "../../node/files/results.ts";

/**
 * A variant of a sweep for scripts, under the names of the columns of intervals.csv and timing.csv.
 *
 * @param parameters its swept values, by path
 */
export function variantObject(
  results: Results,
  variant: Variant,
  parameters: Readonly<Record<string, unknown>>,
  routeMs: number | null,
): object {
  const metrics = metricsOf(results).flatMap(({ column }) => {
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
    ...Object.fromEntries(metrics),
    route_ms_median: routeMs,
  };
}
