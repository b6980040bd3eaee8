import type { VariantData } from "../core/pictures/parts/report-data.ts";
import { formatInterval } from "../core/results/format.ts";
import { metricOf } from "../core/results/variants.ts";
import type { Results } from "../node/files/results.ts";
import { columnHelp, headerTitle } from "./column-help.ts";
import { DataTable } from "./data-table.tsx";

export const seedMeansId = "means-over-seeds";

/** Whether any variant was run with more than one seed, so that there is something to average. */
export function hasSeeds(variants: readonly VariantData[]): boolean {
  return variants.some(({ members }) => members.length > 1);
}

/** A row per variant: the means of its metrics over the seeds, and how sure they are. */
export function SeedMeansSection({ results, variants }: { results: Results; variants: readonly VariantData[] }) {
  const columns = columnHelp
    .map(({ column, label, isMain }) => ({
      column: { name: label, title: headerTitle(column), isNumeric: true, isMain },
      intervals: variants.map((variant) => metricOf(results, variant, column)),
    }))
    .filter(({ intervals }) => intervals.some((interval) => interval !== null));
  const seeds = { name: "seeds", title: "", isNumeric: true, isMain: true };
  return (
    <section aria-labelledby={seedMeansId} class="wide">
      <h2 id={seedMeansId}>Means over the seeds</h2>
      <p class="muted">
        Mean ± half the width of its 95 % confidence interval by Student’s t, which takes the seeds to be independent
        and their values to be about normal.
      </p>
      <DataTable
        id={`${seedMeansId}-table`}
        label="Means over the seeds"
        headingName="router"
        columns={[seeds, ...columns.map(({ column }) => column)]}
        rows={variants.map(({ name, position, members }, row) => ({
          heading: name,
          position,
          cells: [
            { text: String(members.length) },
            ...columns.map(({ intervals }) => {
              const interval = intervals[row];
              return interval === null ? { text: "" } : { text: formatInterval(interval), sortKey: interval.mean };
            }),
          ],
        }))}
      />
    </section>
  );
}
