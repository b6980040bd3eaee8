import { type MetricDescription, metricDescriptions } from "../core/metrics/index.ts";
import { type MetricColumn, metricColumns } from "../core/results/metric-columns.ts";

/** What a column of summary.csv means. */
export interface ColumnHelp extends MetricColumn {
  readonly definition: string;
  readonly source: string;
}

/** The metrics of summary.csv with their definitions, in its order. */
export const columnHelp: readonly ColumnHelp[] = metricColumns.map((metric) => {
  const { definition = "", source = "" } = descriptionOf(metric.column) ?? {};
  return { ...metric, definition, source };
});

/** What the header of `column` shows to the pointer: its label and definition, or nothing where it is no metric. */
export function headerTitle(column: string): string {
  const help = columnHelp.find((each) => each.column === column);
  return help === undefined ? "" : [help.label, help.definition].filter((text) => text !== "").join(": ");
}

function descriptionOf(column: string): MetricDescription | undefined {
  return metricDescriptions.find(({ columns }) =>
    columns.flatMap((written) => alternatives(written)).includes(`summary ${column}`),
  );
}

/** `a_{b,c}` as `a_b` and `a_c`. */
function alternatives(written: string): string[] {
  const [, before, choices, after] = /^(.*)\{(.*)\}(.*)$/.exec(written) ?? [];
  return choices === undefined ? [written] : choices.split(",").map((choice) => `${before}${choice}${after}`);
}
