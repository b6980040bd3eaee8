import { headerTitle, metricColumns } from "../core/metrics/catalogue.ts";
import type { VariantData } from "../core/pictures/parts/report-data.ts";
import { formatInterval } from "../core/results/format.ts";
import type { Interval } from "../core/results/interval.ts";
import type { Results } from "../core/results/results.ts";
import { metricOf } from "../core/results/variants.ts";
import { type DataCell, type DataColumn, DataTable } from "./data-table.tsx";

interface SectionProps {
  readonly results: Results;
  /** Routers in the order of the summary. */
  readonly variants: readonly VariantData[];
}

export const summaryId = "summary";

/**
 * A row per variant with its main metrics, rounded. If variants were run with several seeds, these are means over the
 * seeds with their intervals; all other metrics are shown on request.
 */
export function SummarySection({ results, variants }: SectionProps) {
  const hasSeeds = variants.some(({ members }) => members.length > 1);
  const columns = metricColumns
    .filter(({ isMain }) => hasSeeds || isMain)
    .map(({ column, label, isMain }) => ({
      column: { name: label, title: headerTitle(column), isNumeric: true, isMain },
      intervals: variants.map((variant) => metricOf(results, variant, column)),
    }))
    .filter(({ intervals }) => intervals.some((interval) => interval !== null));
  const seeds = { name: "seeds", title: "", isNumeric: true, isMain: true };
  return (
    <section aria-labelledby={summaryId}>
      <h2 id={summaryId}>Summary</h2>
      <p class="muted">
        {hasSeeds &&
          "Mean over the seeds ± half the width of its 95 % confidence interval by Student’s t, which assumes independent " +
            "seeds and roughly normal values. "}
        <span class="screen-only">Click a header to sort by its column.</span>
      </p>
      <DataTable
        id={`${summaryId}-table`}
        label="Summary"
        headingName="router"
        columns={[...(hasSeeds ? [seeds] : []), ...columns.map(({ column }) => column)]}
        rows={variants.map(({ name, position, members }, row) => ({
          heading: name,
          variant: position,
          hasSwatch: true,
          cells: [
            ...(hasSeeds ? [{ text: String(members.length) }] : []),
            ...columns.map(({ intervals }) => {
              const interval = intervals[row];
              return interval === null ? { text: "" } : intervalCell(interval);
            }),
          ],
        }))}
      />
    </section>
  );
}

/** A mean without an interval sorts by its text. */
function intervalCell(interval: Interval): DataCell {
  const text = formatInterval(interval);
  return interval.halfWidth === null ? { text } : { text, sortKey: interval.mean };
}

export const figuresId = "figures";

/** Every cell of summary.csv with its exact digits, and what its columns mean. */
export function FiguresSection({ results, variants }: SectionProps) {
  const { columns: names, rows } = results.summary;
  const router = names.indexOf("router");
  const columns = names.map((name, position) =>
    describeColumn(
      name,
      rows.map((row) => row[position]),
      results,
    ),
  );
  // Swept parameters distinguish the rows, so they come first.
  const swept = results.parameters.map((parameter) => names.indexOf(parameter));
  const others = [
    ...swept,
    ...besideRegret(names).filter((position) => position !== router && !swept.includes(position)),
  ];
  const positions = new Map(variants.flatMap(({ members, position }) => members.map(({ row }) => [row, position])));
  return (
    <section aria-labelledby={figuresId} class="wide">
      <h2 id={figuresId}>All figures</h2>
      <p class="muted">
        The cells of summary.csv, digit for digit.{" "}
        <span class="screen-only">Click a header to sort by its column.</span>
      </p>
      <DataTable
        id={`${figuresId}-table`}
        label="All figures"
        headingName="router"
        columns={others.map((position) => columns[position])}
        rows={rows.map((row, index) => ({
          heading: row[router],
          variant: positions.get(index)!,
          hasSwatch: true,
          cells: others.map((position) => ({ text: row[position] })),
        }))}
      />
      <details class="screen-only">
        <summary>What the columns mean</summary>
        <dl class="definitions">
          {metricColumns
            .filter(({ column }) => names.includes(column))
            .map(({ column, label, metric: { definition, source } }) => (
              <div key={column}>
                <dt>
                  <code>{column}</code>
                </dt>
                <dd>
                  {label}: {definition}. <span class="muted">{source}</span>
                </dd>
              </div>
            ))}
        </dl>
        <p class="muted">
          A is the load of an expert, L its mean, E the experts, K the experts per token, T the tokens, C the capacity,
          S the affinities, Z the logits.
        </p>
      </details>
    </section>
  );
}

/** Returns the positions of the columns `names`, with the standard error right after its regret. */
function besideRegret(names: readonly string[]): number[] {
  const error = names.indexOf("regret_se");
  const positions = Array.from(names.keys());
  return error < 0
    ? positions
    : positions.flatMap((position) =>
        position === error ? [] : names[position] === "regret_mean" ? [position, error] : [position],
      );
}

/**
 * A metric is shown at first if it is a main one and applies to any row; a size or seed, if it differs between rows.
 */
function describeColumn(name: string, cells: readonly string[], { parameters }: Results): DataColumn {
  const metric = metricColumns.find(({ column }) => column === name);
  const differs = new Set(cells).size > 1;
  return {
    name,
    title: headerTitle(name),
    isNumeric: cells.every((cell) => cell === "" || Number.isFinite(Number(cell))),
    isMain:
      metric === undefined
        ? parameters.includes(name) || (differs && name !== "kind")
        : metric.isMain && cells.some((cell) => cell !== ""),
  };
}
