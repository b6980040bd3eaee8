import {
  camelCase,
  isFigureOf,
  type MetricColumn,
  metricColumns,
  metrics,
  type StepColumn,
  type StepFile,
  stepColumns,
  type TrainingFigures,
} from "../metrics/catalogue.ts";
import type { RunSummary, RunTiming } from "../metrics/run-summary.ts";

/**
 * A cell of a CSV file. A number is written so that reading it back gives the same double; null and non-finite numbers
 * become an empty cell, because an overflow is not a result, and CSV readers disagree on how to write infinity.
 */
export type CsvValue = string | number | null;

/** First columns of every file: scenario, router and seed of a row. */
export interface RowSource {
  readonly scenario: string;
  readonly router: string;
  readonly kind: string;
  /** Null for recorded choices, which have no seed. */
  readonly seed: number | null;
}

/** A run's sizes in summary.csv; null if recorded data does not say. */
export interface RunSizes {
  readonly steps: number;
  readonly tokens: number | null;
  readonly experts: number;
  readonly topK: number | null;
}

/**
 * The table of a CSV file, whether just computed or read: cells have the file's exact text, and are empty if no value
 * applies. Plain data.
 */
export interface ResultTable {
  /** Name in messages. */
  readonly file: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => CsvValue;
}

export interface SummaryRow {
  readonly source: RowSource;
  readonly sizes: RunSizes;
  readonly summary: RunSummary;
  /** With several layers, the one with the largest MaxVio of the run; null if none has any. */
  readonly worstLayer?: number | null | undefined;
}

/** What a router did in one layer: a row of layers.csv. */
export interface LayerRow extends SummaryRow {
  /** The model's id of the layer. */
  readonly layer: number;
}

/** The columns of summary.csv before the metrics. */
const sizeColumns: readonly Column<SummaryRow>[] = [
  { name: "scenario", value: ({ source }) => source.scenario },
  { name: "router", value: ({ source }) => source.router },
  { name: "kind", value: ({ source }) => source.kind },
  { name: "seed", value: ({ source }) => source.seed },
  { name: "steps", value: ({ sizes }) => sizes.steps },
  { name: "tokens", value: ({ sizes }) => sizes.tokens },
  { name: "experts", value: ({ sizes }) => sizes.experts },
  { name: "top_k", value: ({ sizes }) => sizes.topK },
];

/** `metricColumns` in file order. */
function writtenColumns(): MetricColumn[] {
  return metricColumns
    .filter(({ after }) => after === undefined)
    .flatMap((column) => [column, ...metricColumns.filter(({ after }) => after === column.column)]);
}

/**
 * The columns of summary.csv, one row per router; those of the worst layer only if there are several layers, and those of
 * placements only if the scenario places experts.
 */
export function summaryColumnsOf(
  training: TrainingFigures,
  hasLayers = false,
  isPlaced = false,
): readonly Column<SummaryRow>[] {
  const measured = writtenColumns().filter(({ metric }) => !metric.layered && isFigureOf(metric, training, isPlaced));
  return [...sizeColumns, ...measured.map(summaryColumn), ...(hasLayers ? worstColumns() : [])];
}

/** Returns `columns` and, last, the id of the layer, for files with rows of several layers. */
export function withLayer<Row>(
  columns: readonly Column<Row>[],
): readonly Column<Row & { readonly layer?: number | undefined }>[] {
  return [...columns, { name: "layer", value: ({ layer }) => layer ?? null }];
}

/** The columns of summary.csv that only results of several layers have. */
function worstColumns(): Column<SummaryRow>[] {
  return [
    ...writtenColumns()
      .filter(({ metric }) => metric.layered)
      .map(summaryColumn),
    { name: "max_vio_worst_layer", value: ({ worstLayer }) => worstLayer ?? null },
  ];
}

function summaryColumn({ column }: MetricColumn): Column<SummaryRow> {
  const key = camelCase(column) as keyof RunSummary;
  return { name: column, value: ({ summary }) => summary[key] as number | null };
}

/** Whether the row is of a router in a stream that trains. */
export function isTrained({ summary }: SummaryRow): boolean {
  return summary.taskLoss !== null;
}

/** Returns which training metrics the rows of a summary have, taken together. */
export function trainingFiguresOf(rows: readonly SummaryRow[]): TrainingFigures {
  if (rows.some(({ summary }) => summary.evalLoss !== null)) return "evaluated";
  return rows.some(isTrained) ? "trained" : "none";
}

/** Whether the row is of a scenario that places experts. */
export function isPlacedRow({ summary }: SummaryRow): boolean {
  return summary.moves !== null;
}

/** Whether the row holds means over several layers. */
export function isMeanOfLayers({ worstLayer }: SummaryRow): boolean {
  return worstLayer !== undefined;
}

export interface StepRow {
  readonly source: RowSource;
  readonly step: number;
  /** The layer that the step is of; absent if there is only one. */
  readonly layer?: number | undefined;
  readonly figure: (column: StepColumn) => number | null;
}

/** The columns of a file with a row per router and step. */
function columnsOfSteps(file: StepFile, training: TrainingFigures, isPlaced: boolean): readonly Column<StepRow>[] {
  return [
    { name: "scenario", value: ({ source }) => source.scenario },
    { name: "router", value: ({ source }) => source.router },
    { name: "seed", value: ({ source }) => source.seed },
    { name: "step", value: ({ step }) => step },
    ...stepColumns
      .filter(
        (column) => (isPlaced ? column.placedFile : column.file) === file && isFigureOf(column, training, isPlaced),
      )
      .map((column): Column<StepRow> => ({ name: column.name, value: ({ figure }) => figure(column) })),
  ];
}

/** The columns of steps.csv. */
export function stepColumnsOf(training: TrainingFigures, isPlaced = false): readonly Column<StepRow>[] {
  return columnsOfSteps("steps", training, isPlaced);
}

/** The columns of diagnostics.csv: per step, what the other files do not have. */
export function diagnosticColumns(isPlaced = false): readonly Column<StepRow>[] {
  return columnsOfSteps("diagnostics", "none", isPlaced);
}

/** The header of loads.csv. */
export const loadHeader = ["scenario", "router", "seed", "step", "expert", "load"] as const;

/** The header of gpus.csv. Loads are in pairs, summed over the steps on which a fitted placement is in force. */
export const gpusHeader = ["scenario", "router", "seed", "gpu", "unplaced_load", "load"] as const;

export interface TimingRow {
  readonly source: RowSource;
  readonly timing: RunTiming;
}

/**
 * The columns of timing.csv, the only ones whose numbers differ between runs; those of training only if the stream
 * trains.
 */
export function timingColumnsOf(trains: boolean): readonly Column<TimingRow>[] {
  return [
    { name: "scenario", value: ({ source }) => source.scenario },
    { name: "router", value: ({ source }) => source.router },
    { name: "seed", value: ({ source }) => source.seed },
    { name: "steps", value: ({ timing }) => timing.routeMs.length },
    { name: "tokens", value: ({ timing }) => timing.tokens },
    ...metrics
      .filter((metric) => isFigureOf(metric, trains ? "trained" : "none"))
      .flatMap(({ timing: columns = [] }) =>
        columns.map(({ column, value }): Column<TimingRow> => ({ name: column, value: ({ timing }) => value(timing) })),
      ),
  ];
}

const intervalEnd = "_ci95";

/** The columns of intervals.csv before the swept parameters. */
export const variantColumns = ["scenario", "router", "kind"] as const;

/** The columns after the swept parameters. */
export function measuredIntervalColumns(columns: readonly MetricColumn[]): string[] {
  return ["seeds", ...columns.flatMap(({ column }) => [column, intervalColumn(column)])];
}

/** Returns the name of the column with half the width of a metric's 95 % confidence interval. */
export function intervalColumn(column: string): string {
  return column + intervalEnd;
}

/** Returns the metric whose interval is in `column`, or `column` itself if it holds none. */
export function metricOfColumn(column: string): string {
  return column.endsWith(intervalEnd) ? column.slice(0, -intervalEnd.length) : column;
}

/**
 * Returns summary.csv: a row per router, with the columns of training and of evaluation if one has them, and those of the
 * worst layer if the rows are means over layers.
 */
export function summaryTable(rows: readonly SummaryRow[]): ResultTable {
  const columns = summaryColumnsOf(trainingFiguresOf(rows), rows.some(isMeanOfLayers), rows.some(isPlacedRow));
  return tableOf("summary.csv", columns, rows);
}

/** Returns layers.csv: a row per router and layer, with the columns of training and of evaluation if one has them. */
export function layersTable(rows: readonly LayerRow[]): ResultTable {
  return tableOf(
    "layers.csv",
    withLayer(summaryColumnsOf(trainingFiguresOf(rows), false, rows.some(isPlacedRow))),
    rows,
  );
}

/** Returns timing.csv: a row per router, with the columns of training if one trained. */
export function timingTable(rows: readonly TimingRow[]): ResultTable {
  return tableOf("timing.csv", timingColumnsOf(rows.some(({ timing }) => timing.trainMs !== null)), rows);
}

function tableOf<Row>(file: string, columns: readonly Column<Row>[], rows: readonly Row[]): ResultTable {
  return { file, columns: headerOf(columns), rows: rows.map((row) => cellsOf(columns, row).map(cellText)) };
}

/**
 * Returns the text of a cell, with a number's shortest digits that read back as the same double. `String` writes the same
 * digits, but keeps its last 16,384 results, which outlive young garbage and make memory grow with the rows; JSON does not.
 */
export function cellText(value: CsvValue): string {
  if (typeof value === "string") return value;
  return value === null || !Number.isFinite(value) ? "" : JSON.stringify(value);
}

export function headerOf<Row>(columns: readonly Column<Row>[]): string[] {
  return columns.map(({ name }) => name);
}

/** Returns a row as an object for scripts: numbers unchanged, null for an empty cell. */
export function objectOf<Row>(columns: readonly Column<Row>[], row: Row): Record<string, CsvValue> {
  return Object.fromEntries(columns.map(({ name, value }) => [name, value(row)]));
}

export function cellsOf<Row>(columns: readonly Column<Row>[], row: Row): CsvValue[] {
  return columns.map(({ value }) => value(row));
}
