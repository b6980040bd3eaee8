import type { VariantData } from "../core/pictures/parts/report-data.ts";
import type { Results } from "../node/files/results.ts";
import { columnHelp, headerTitle } from "./column-help.ts";
import { type DataColumn, DataTable } from "./data-table.tsx";

export const summaryId = "summary";

/** Every cell of summary.csv, with the digits that stand there, and what its columns mean. */
export function SummarySection({ results, variants }: { results: Results; variants: readonly VariantData[] }) {
  const { columns: names, rows } = results.summary;
  const router = names.indexOf("router");
  const columns = names.map((name, position) =>
    describeColumn(
      name,
      rows.map((row) => row[position]),
      results,
    ),
  );
  // What was swept tells rows apart, and stands in front.
  const swept = results.parameters.map((parameter) => names.indexOf(parameter));
  const others = [
    ...swept,
    ...besideRegret(names).filter((position) => position !== router && !swept.includes(position)),
  ];
  const positions = new Map(variants.flatMap(({ members, position }) => members.map(({ row }) => [row, position])));
  return (
    <section aria-labelledby={summaryId} class="wide">
      <h2 id={summaryId}>Summary</h2>
      <p class="muted">The cells of summary.csv, digit for digit. A header sorts by its column.</p>
      <DataTable
        id={`${summaryId}-table`}
        label="Summary"
        headingName="router"
        columns={others.map((position) => columns[position])}
        rows={rows.map((row, index) => ({
          heading: row[router],
          position: positions.get(index)!,
          cells: others.map((position) => ({ text: row[position] })),
        }))}
      />
      <details>
        <summary>What the columns mean</summary>
        <dl class="definitions">
          {columnHelp
            .filter(({ column }) => names.includes(column))
            .map(({ column, label, definition, source }) => (
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

/** The positions of the columns `names`, with the error of regret behind the regret that it belongs to. */
function besideRegret(names: readonly string[]): number[] {
  const error = names.indexOf("regret_se");
  const positions = Array.from(names.keys());
  return error < 0
    ? positions
    : positions.flatMap((position) =>
        position === error ? [] : names[position] === "regret_mean" ? [position, error] : [position],
      );
}

/** A metric is shown at first where it is a main one and applies to any row; a size or seed where rows differ in it. */
function describeColumn(name: string, cells: readonly string[], { parameters }: Results): DataColumn {
  const metric = columnHelp.find(({ column }) => column === name);
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
