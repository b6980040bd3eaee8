import { comparisonPictures } from "../core/pictures/comparison-pictures.ts";
import { capitalized } from "../core/pictures/parts/text.ts";
import type { ComparedCell, ComparedMetric, Comparison } from "../core/results/comparison.ts";
import { formatInterval, formatNumber } from "../core/results/format.ts";
import { changeIntervalWords } from "../core/results/interval-words.ts";
import { type DataCell, DataTable } from "./data-table.tsx";
import { renderPage } from "./page.tsx";
import { PictureFigure } from "./picture-figure.tsx";

const fieldsId = "scenarios";

/** Results side by side as one HTML page: where their scenarios differ, a picture and a table of each metric. */
export function renderComparison(comparison: Comparison): string {
  const { folders, fields, metrics } = comparison;
  const pictures = comparisonPictures(comparison);
  return renderPage({
    title: folders.map(({ name }) => name).join(" · "),
    description: "The same metrics side by side; differences are to the first.",
    contents: [
      { id: fieldsId, label: "Scenarios" },
      ...pictures.map(({ id, title }) => ({ id, label: title })),
      ...metrics.map(({ column, label }) => ({ id: tableId(column), label: `Table: ${label}` })),
    ],
    pictures,
    children: (
      <>
        <section aria-labelledby={fieldsId}>
          <h2 id={fieldsId}>Where the scenarios differ</h2>
          {fields.length === 0 && <p>No difference is known.</p>}
          <dl class="facts">
            {fields.map(({ path, values }) => (
              <div key={path}>
                <dt>{path}</dt>
                <dd>{values.map((value) => value ?? "–").join(" → ")}</dd>
              </div>
            ))}
          </dl>
        </section>
        <section aria-labelledby="pictures">
          <h2 id="pictures">Pictures</h2>
          {pictures.map((picture) => (
            <PictureFigure key={picture.id} picture={picture} />
          ))}
        </section>
        {metrics.map((metric) => (
          <MetricSection key={metric.column} metric={metric} names={folders.map(({ name }) => name)} />
        ))}
      </>
    ),
  });
}

/** A row per router, and for every folder but the first its difference too. */
function MetricSection({ metric, names }: MetricSectionProps) {
  const { column, label, better, rows } = metric;
  const intervals = changeIntervalWords([metric]);
  const headers = names.flatMap((name, i) => (i === 0 ? [name] : [name, `change in ${name}`]));
  return (
    <section aria-labelledby={tableId(column)} class="wide">
      <h2 id={tableId(column)}>{capitalized(label)}</h2>
      <p class="muted">
        {column}
        {better === null ? "" : `, ${better} is better`}
        {intervals === null ? "" : `; 95 % confidence intervals of changes: ${intervals}`}
      </p>
      <DataTable
        id={`${column}-table`}
        label={`${label} of all results`}
        headingName="router"
        columns={headers.map((name) => ({ name, title: "", isNumeric: true, isMain: true }))}
        rows={rows.map(({ router, cells }) => ({
          heading: router,
          // Colours are those of the folders here.
          position: null,
          cells: cells.flatMap((cell, i) => (i === 0 ? [meanCell(cell)] : [meanCell(cell), changeCell(cell)])),
        }))}
      />
    </section>
  );
}

interface MetricSectionProps {
  readonly metric: ComparedMetric;
  readonly names: readonly string[];
}

function meanCell(cell: ComparedCell | null): DataCell {
  return cell === null ? { text: "" } : { text: formatInterval(cell), sortKey: cell.mean };
}

function changeCell(cell: ComparedCell | null): DataCell {
  if (cell === null || cell.change === null) return { text: "" };
  const { difference, halfWidth, direction } = cell.change;
  const words = direction === null ? "" : ` ${direction}`;
  const spread = halfWidth === null ? "" : ` ± ${formatNumber(halfWidth)}`;
  return { text: `${difference > 0 ? "+" : ""}${formatNumber(difference)}${spread}${words}`, sortKey: difference };
}

function tableId(column: string): string {
  return `table-${column}`;
}
