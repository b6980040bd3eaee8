import { derivedFrom } from "../registry.ts";
import { isFigureOf, type StepColumn, stepColumns, type TrainingFigures } from "./catalogue.ts";
import type { StepRecord } from "./step-record.ts";

/**
 * The values of all steps of one router, flat, without those that are joined from what other threads find. Plain data.
 * Takes 168 bytes per step, 40 more if the stream trains, 24 more if it evaluates, and 40 more if the scenario places experts.
 */
export interface StepSeries {
  /** The training metrics that it includes. */
  readonly training: TrainingFigures;
  /** Whether it includes the metrics of scenarios that place experts. */
  readonly isPlaced: boolean;
  /** `[steps × values per step]`, NaN for a value that does not apply. */
  readonly figures: Float64Array;
}

const seriesColumns = (training: TrainingFigures) =>
  [false, true].map((isPlaced) =>
    derivedFrom([stepColumns], () =>
      stepColumns.filter((column) => column.join === undefined && isFigureOf(column, training, isPlaced)),
    ),
  );

const columnsBy: Readonly<Record<TrainingFigures, readonly (() => readonly StepColumn[])[]>> = {
  none: seriesColumns("none"),
  trained: seriesColumns("trained"),
  evaluated: seriesColumns("evaluated"),
};

function columnsOf({ training, isPlaced }: Pick<StepSeries, "training" | "isPlaced">): readonly StepColumn[] {
  return columnsBy[training][Number(isPlaced)]();
}

/**
 * Returns room for `steps` steps.
 *
 * @param written the first steps, from a series of the same router
 */
export function createStepSeries(
  steps: number,
  training: TrainingFigures,
  isPlaced: boolean,
  written?: StepSeries,
): StepSeries {
  const figures = new Float64Array(steps * columnsOf({ training, isPlaced }).length);
  if (written !== undefined) figures.set(written.figures);
  return { training, isPlaced, figures };
}

/** Returns the first `steps` steps; shares memory with `series`. */
export function firstSteps(series: StepSeries, steps: number): StepSeries {
  return { ...series, figures: series.figures.subarray(0, steps * columnsOf(series).length) };
}

/** Writes the values of `record` to its step. */
export function writeStep(series: StepSeries, record: StepRecord): void {
  const columns = columnsOf(series);
  const start = record.step * columns.length;
  for (let i = 0; i < columns.length; i++) series.figures[start + i] = columns[i].value(record) ?? Number.NaN;
}

/** Returns the value of `column` on a written step; null if it does not apply. */
export function figureAt(series: StepSeries, step: number, column: StepColumn): number | null {
  const columns = columnsOf(series);
  const position = columns.indexOf(column);
  const value = position < 0 ? Number.NaN : series.figures[step * columns.length + position];
  return Number.isNaN(value) ? null : value;
}

/** Returns the column `name` on all steps, `[steps]`, NaN if it does not apply. */
export function figuresOf(series: StepSeries, name: string): Float64Array {
  const columns = columnsOf(series);
  const position = columns.findIndex((column) => column.name === name);
  const steps = series.figures.length / columns.length;
  return new Float64Array(steps).map((_, step) => series.figures[step * columns.length + position]);
}
