import { existsSync } from "node:fs";
import path from "node:path";
import { mean } from "d3-array";
import type { Variant } from "../../core/results/variants.ts";
import { cellOf, numberOf, readResultTable } from "./result-table.ts";
import type { Results } from "./results.ts";

/**
 * Milliseconds that each variant took to route a batch, from the timing.csv of its runs: the median over the steps, of
 * that the mean over the seeds; null if none is recorded, or the file is missing. Wall-clock time, so never the same
 * twice. Throws `InputError` if a file is malformed.
 */
export function routeTimes(results: Results, variants: readonly Variant[]): (number | null)[] {
  const times = new Map(
    results.runs.map((run) => {
      const file = path.join(run.folder, "timing.csv");
      if (!existsSync(file)) return [run, new Map<string, number | null>()] as const;
      const table = readResultTable(file, ["router", "route_ms_median"]);
      const byRouter = table.rows.map(
        (_, row) => [cellOf(table, row, "router"), numberOf(table, row, "route_ms_median")] as const,
      );
      return [run, new Map(byRouter)] as const;
    }),
  );
  return variants.map(({ router, members }) => mean(members, ({ run }) => times.get(run)!.get(router)) ?? null);
}
