import { InputError } from "../../core/input-error.ts";
import { suggestion } from "../../scenario/problems.ts";
import { metricOfColumn } from "../interval-columns.ts";
import { printable } from "../printable.ts";
import { measuredColumns } from "./checked-files.ts";

/** How far numbers may be apart, relative to the baseline's but never to less than 1: |a − b| ≤ tolerance · max(1, |b|). */
export interface Tolerances {
  readonly overall: number;
  /** For columns that have one of their own. */
  readonly byColumn: ReadonlyMap<string, number>;
}

export const defaultTolerance = 1e-6;

/**
 * The tolerances of the options `--tolerance` and `--metric`, whose words are `name=tolerance`. Throws `InputError` for
 * anything but numbers from 0 on, and for names that no file has a column of.
 */
export function parseTolerances(overall: number, metrics: readonly string[]): Tolerances {
  if (!isTolerance(overall)) {
    throw new InputError(`--tolerance: ${overall} is not allowed, a number from 0 on is expected`);
  }
  return { overall, byColumn: new Map(metrics.map(parseMetric)) };
}

function parseMetric(word: string): [string, number] {
  const [, name, text] = /^([^=]+)=(.+)$/s.exec(word) ?? [];
  if (name === undefined) {
    throw new InputError(`--metric ${printable(word)}: name=tolerance is expected, e.g. max_vio=0.01`);
  }
  if (!measuredColumns.includes(name)) {
    throw new InputError(
      `--metric ${printable(name)}: no file has such a column.${suggestion(name, measuredColumns)} Allowed: ${measuredColumns.join(", ")}.`,
    );
  }
  const tolerance = text.trim() === "" ? Number.NaN : Number(text);
  if (!isTolerance(tolerance)) {
    throw new InputError(`--metric ${name}=${printable(text)}: is not allowed, a number from 0 on is expected`);
  }
  return [name, tolerance];
}

function isTolerance(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** The tolerance of a column; that of its metric for one of intervals. */
export function toleranceOf({ overall, byColumn }: Tolerances, column: string): number {
  return byColumn.get(metricOfColumn(column)) ?? overall;
}
