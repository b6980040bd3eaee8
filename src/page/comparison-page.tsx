import { comparisonPictures } from "../core/pictures/comparison-pictures.ts";
import { comparedGpuLoadsPicture, type FolderGpuLoads } from "../core/pictures/makers/gpu-loads.ts";
import { capitalized, drawnName } from "../core/pictures/parts/text.ts";
import {
  type ComparedCell,
  type ComparedMetric,
  type Comparison,
  changeIntervalWords,
  changeSentences,
  nounOf,
} from "../core/results/comparison.ts";
import { formatInterval, formatNumber } from "../core/results/format.ts";
import { type DataCell, DataTable } from "./data-table.tsx";
import { renderPage, VerdictSection, verdictId } from "./page.tsx";
import { PictureFigure } from "./picture-figure.tsx";

const fieldsId = "differences";

/** Metrics of the verdict, if compared: balance and its price. */
const verdictColumns = ["max_vio_batch_mean", "task_loss", "regret_mean", "score"];
/** Maximum number of folders whose table, a column per folder and one per change, fits an upright sheet. */
const mostUpright = 3;

/**
 * Results side by side as one HTML page: what changed, how the scenarios differ, and a picture and a table of each
 * metric; and the loads of GPUs, if the folders place experts on them.
 */
export function renderComparison(comparison: Comparison, gpuLoads: readonly FolderGpuLoads[] = []): string {
  const { folders, fields, metrics } = comparison;
  const ofMetrics = comparisonPictures(comparison);
  const ofGpus = comparedGpuLoadsPicture(gpuLoads);
  const pictures = ofGpus === null ? ofMetrics : [...ofMetrics, ofGpus];
  const routers = Array.from(new Set(metrics.flatMap(({ rows }) => rows.map(({ router }) => router))));
  return renderPage({
    title: folders.map(({ name }) => name).join(" · "),
    description: "The same metrics side by side; differences are relative to the first.",
    contents: [
      { id: verdictId, label: "Verdict" },
      { id: fieldsId, label: `Where the ${nounOf(folders)} differ` },
      ...pictures.map(({ id, title }) => ({ id, label: title })),
    ],
    pictures,
    routers: routers.map((router) => ({ name: drawnName(router), isListed: true, color: null, dash: null })),
    children: (
      <>
        <VerdictSection sentences={verdictOf(comparison)} />
        <section aria-labelledby={fieldsId}>
          <h2 id={fieldsId}>Where the {nounOf(folders)} differ</h2>
          {fields.length === 0 && <p>No known differences.</p>}
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
          <h2 id="pictures">Metrics</h2>
          {metrics.map((metric, i) => (
            <PictureFigure key={metric.column} picture={ofMetrics[i]}>
              <MetricTable metric={metric} names={folders.map(({ name }) => name)} routers={routers} />
            </PictureFigure>
          ))}
          {ofGpus !== null && <PictureFigure picture={ofGpus} />}
        </section>
      </>
    ),
  });
}

function verdictOf({ folders, metrics }: Comparison): string[] {
  const main = verdictColumns.flatMap((wanted) => metrics.find(({ column }) => column === wanted) ?? []);
  const sentences = (main.length > 0 ? main : metrics.slice(0, 1)).flatMap((metric) =>
    changeSentences(metric, folders),
  );
  return sentences.length > 0 ? sentences : [`No other folder has a router of ${folders[0].name}, so nothing changed.`];
}

interface MetricTableProps {
  readonly metric: ComparedMetric;
  /** Names of the folders. */
  readonly names: readonly string[];
  /** All routers of the page. */
  readonly routers: readonly string[];
}

/** A row per router; each folder but the first also has its difference. */
function MetricTable({ metric, names, routers }: MetricTableProps) {
  const { column, label, better, rows } = metric;
  const intervals = changeIntervalWords([metric]);
  const headers = names.flatMap((name, i) => (i === 0 ? [name] : [name, `change in ${name}`]));
  return (
    <div class={names.length > mostUpright ? "below wide" : "below"}>
      <p class="muted">
        {column}
        {better === null ? "" : `, ${better} is better`}
        {intervals === null ? "" : `; 95 % confidence intervals of changes: ${intervals}`}
      </p>
      <DataTable
        id={`${column}-table`}
        label={`${capitalized(label)} of all results`}
        headingName="router"
        columns={headers.map((name) => ({ name, title: "", isNumeric: true, isMain: true }))}
        rows={rows.map(({ router, cells }) => ({
          heading: router,
          variant: routers.indexOf(router),
          // Here the colours are those of the folders.
          hasSwatch: false,
          cells: cells.flatMap((cell, i) => (i === 0 ? [meanCell(cell)] : [meanCell(cell), changeCell(cell)])),
        }))}
      />
    </div>
  );
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
