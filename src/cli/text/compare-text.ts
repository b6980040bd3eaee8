import {
  type ComparedCell,
  type ComparedField,
  type ComparedMetric,
  type Comparison,
  changeIntervalWords,
  type MeanChange,
  nounOf,
} from "../../core/results/comparison.ts";
import { formatNumber, printable } from "../../core/results/format.ts";
import { formatTable } from "./table.ts";

/** Colours of changes for the better and for the worse. */
export interface ChangeColors {
  readonly better: (text: string) => string;
  readonly worse: (text: string) => string;
}

/**
 * Formats the comparison for the terminal: how the scenarios differ, then a table for each metric with a column for each folder
 * and, from the second on, its difference from the first.
 *
 * @param hasAsked whether the user named the metrics; then empty ones are mentioned
 */
export function formatComparison(comparison: Comparison, colors: ChangeColors, hasAsked = false): string {
  const { folders, metrics } = comparison;
  const names = folders.map(({ name }) => printable(name));
  return [
    ...scenarioLines(comparison, names),
    ...metrics.flatMap((metric) => ["", headingOf(metric), "", metricTable(metric, names, colors)]),
    "",
    ...absenceLines(comparison, names, hasAsked),
    legend(comparison, names[0]),
  ]
    .join("\n")
    .concat("\n");
}

function scenarioLines({ folders, fields }: Comparison, names: readonly string[]): string[] {
  const what = nounOf(folders);
  const isMixed = what === "inputs";
  const alike = isMixed
    ? "no known difference in size (experts, steps, tokens, top_k), which is all that a scenario and a recording share"
    : `no known difference between their ${what}`;
  const remarks = folders.map(({ source }) => {
    if (source === null) return "its scenario is unknown: there is no run.json";
    return source === "measurement" && isMixed ? "a recording of choices or loads, not a scenario" : null;
  });
  return [
    `${names.join(", ")}: ${fields.length === 0 ? alike : `their ${what} differ in`}`,
    ...fields.map(({ path, values }: ComparedField) => {
      const texts = values.map((value) => (value === null ? "–" : printable(value)));
      return `  ${printable(path)}: ${texts.join(" → ")}`;
    }),
    ...remarks.flatMap((remark, position) => (remark === null ? [] : [`  ${names[position]}: ${remark}`])),
  ];
}

/** Explains why numbers that a reader may look for are missing. */
function absenceLines(
  { unmatchedFolders, emptyMetrics }: Comparison,
  names: readonly string[],
  asked: boolean,
): string[] {
  const unmatched = unmatchedFolders.map((position) => names[position]);
  return [
    ...(unmatched.length === 0
      ? []
      : [`${unmatched.join(", ")}: no router in common with ${names[0]}, so no changes are shown`]),
    ...(asked && emptyMetrics.length > 0 ? [`empty for every router: ${emptyMetrics.join(", ")}`] : []),
  ];
}

function headingOf({ label, column, better }: ComparedMetric): string {
  const remarks = [...(label === column ? [] : [column]), ...(better === null ? [] : [`${better} is better`])];
  return remarks.length === 0 ? label : `${label} (${remarks.join(", ")})`;
}

function metricTable({ rows }: ComparedMetric, names: readonly string[], colors: ChangeColors): string {
  const columns = names.flatMap((name, folder) => {
    const cells = rows.map((row) => row.cells[folder]);
    const values = { header: name, texts: cells.map(valueText) };
    if (folder === 0) return [values];
    const changes = cells.map((cell) => cell?.change ?? null);
    return [values, { header: "change", texts: changes.map((change) => colored(changeText(change), change, colors)) }];
  });
  return formatTable(
    ["router", ...columns.map(({ header }) => header)],
    rows.map(({ router }, row) => [printable(router), ...columns.map(({ texts }) => texts[row])]),
    { alignRight: [false, ...columns.map(() => true)] },
  );
}

function valueText(cell: ComparedCell | null): string {
  if (cell === null) return "–";
  return withInterval(formatNumber(cell.mean), cell.halfWidth);
}

function changeText(change: MeanChange | null): string {
  if (change === null) return "–";
  const { difference, halfWidth, isClear } = change;
  const sign = difference > 0 ? "+" : "";
  // The blanks align numbers with and without the mark.
  const mark = isClear === null ? "" : isClear ? " *" : "  ";
  return withInterval(`${sign}${formatNumber(difference)}`, halfWidth) + mark;
}

function withInterval(text: string, halfWidth: number | null): string {
  return halfWidth === null ? text : `${text} ± ${formatNumber(halfWidth)}`;
}

function colored(text: string, change: MeanChange | null, colors: ChangeColors): string {
  const direction = change?.direction ?? null;
  return direction === null ? text : colors[direction](text);
}

function legend({ metrics }: Comparison, reference: string): string {
  const cells = metrics.flatMap(({ rows }) => rows.flatMap((row) => row.cells));
  const changes = `change: difference from ${reference}`;
  if (cells.every((cell) => cell === null || cell.halfWidth === null)) return changes;
  const means = `${changes} · ±: 95 % confidence interval over seeds, Student's t for means`;
  const ofChanges = changeIntervalWords(metrics);
  return ofChanges === null ? means : `${means}; for changes: ${ofChanges} · *: the change's interval excludes 0`;
}
