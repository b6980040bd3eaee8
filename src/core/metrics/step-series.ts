import { type StepColumn, stepColumns } from "./catalogue.ts";
import type { StepRecord } from "./step-record.ts";

/**
 * The figures of all steps of one router, flat, without those that are joined from what other threads find. Plain data.
 * Takes 136 bytes a step, and 40 more if the stream trains.
 */
export interface StepSeries {
  /** Whether it has the figures of training. */
  readonly trains: boolean;
  /** `[steps × figures of a step]`, NaN for a figure that does not apply. */
  readonly figures: Float64Array;
}

const [plainColumns, trainingColumns] = [false, true].map((trains) =>
  stepColumns.filter((column) => column.join === undefined && (trains || !column.trains)),
);

function columnsOf({ trains }: Pick<StepSeries, "trains">): readonly StepColumn[] {
  return trains ? trainingColumns : plainColumns;
}

/**
 * Room for `steps` steps.
 *
 * @param written the first steps, of a series of the same router
 */
export function createStepSeries(steps: number, trains: boolean, written?: StepSeries): StepSeries {
  const figures = new Float64Array(steps * columnsOf({ trains }).length);
  if (written !== undefined) figures.set(written.figures);
  return { trains, figures };
}

/** The first `steps` steps; shares memory with `series`. */
export function firstSteps(series: StepSeries, steps: number): StepSeries {
  return { ...series, figures: series.figures.subarray(0, steps * columnsOf(series).length) };
}

/** Writes the figures of `record` to its step. */
export function writeStep(series: StepSeries, record: StepRecord): void {
  const columns = columnsOf(series);
  const start = record.step * columns.length;
  for (let i = 0; i < columns.length; i++) series.figures[start + i] = columns[i].value(record) ?? Number.NaN;
}

/** The figure of `column` on a step that was written; null if it does not apply. */
export function figureAt(series: StepSeries, step: number, column: StepColumn): number | null {
  const columns = columnsOf(series);
  const position = columns.indexOf(column);
  const value = position < 0 ? Number.NaN : series.figures[step * columns.length + position];
  return Number.isNaN(value) ? null : value;
}

/** `[steps]`, the figures of the column `name` on all steps, NaN where it does not apply. */
export function figuresOf(series: StepSeries, name: string): Float64Array {
  const columns = columnsOf(series);
  const position = columns.findIndex((column) => column.name === name);
  const steps = series.figures.length / columns.length;
  return new Float64Array(steps).map((_, step) => series.figures[step * columns.length + position]);
}
