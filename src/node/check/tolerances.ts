import { InputError } from "../../core/input-error.ts";
import type { Better } from "../../core/metrics/catalogue.ts";
import { printable } from "../../core/results/format.ts";
import { metricOfColumn } from "../../core/results/result-columns.ts";
import { suggestion } from "../../core/suggestion.ts";
import { judgedColumns, measuredColumns } from "./checked-files.ts";

/** How far a number may move from its baseline. */
export interface Tolerance {
  /** From 0. Of unit `relative`, a fraction: 0.05 for 5 %. */
  readonly amount: number;
  readonly unit: "absolute" | "relative" | "standard errors";
  /** The smallest change that it allows, in the unit of the column; 0 if not given. */
  readonly floor: number;
  /** As people write it: `0.01`, `5%`, `2se`, `5%,0.001`. */
  readonly text: string;
}

export interface Tolerances {
  readonly overall: Tolerance;
  /** For columns with a tolerance of their own. */
  readonly byColumn: ReadonlyMap<string, Tolerance>;
}

export const defaultTolerance = "1e-6";

/** What a tolerance may be, for messages. */
export const toleranceForms =
  "a number from 0 on (0.01), a percentage of the baseline (5%) or a number of standard errors over seeds (2se), the last " +
  "two with a floor if wanted (5%,0.001)";

const rounding = 1e-9;
/** Fraction of the allowed change: a change of exactly that size must not fail because of rounding. */
const slack = 1e-6;

/**
 * Reads the options `--tolerance` and `--metric`, whose words are `name=tolerance`. Throws `InputError` if a tolerance is
 * malformed, if a name is given twice or is not a column of a checked file, and for a tolerance in standard errors if the
 * column has no mean over seeds.
 */
export function parseTolerances(overall: string, metrics: readonly string[]): Tolerances {
  const byColumn = new Map<string, Tolerance>();
  for (const [name, tolerance] of metrics.map(parseMetric)) {
    const earlier = byColumn.get(name);
    if (earlier !== undefined) {
      throw new InputError(`--metric ${name}: is given twice, ${earlier.text} and ${tolerance.text}; name it once`);
    }
    byColumn.set(name, tolerance);
  }
  return { overall: parseTolerance(overall, "--tolerance"), byColumn };
}

function parseMetric(word: string): [string, Tolerance] {
  const [, name, text] = /^([^=]+)=(.+)$/s.exec(word) ?? [];
  if (name === undefined) {
    throw new InputError(`--metric ${printable(word)}: name=tolerance is expected, e.g. score=0.01`);
  }
  if (!measuredColumns.includes(name)) {
    throw new InputError(
      `--metric ${printable(name)}: no file has such a column.${suggestion(name, measuredColumns)} Allowed: ${measuredColumns.join(", ")}.`,
    );
  }
  const tolerance = parseTolerance(text, `--metric ${name}`);
  if (tolerance.unit === "standard errors" && !judgedColumns.includes(name)) {
    throw new InputError(
      `--metric ${name}=${tolerance.text}: only columns of summary.csv have a mean over seeds, and this is none; give a ` +
        `number (0.01) or a percentage (5%)`,
    );
  }
  return [name, tolerance];
}

/**
 * Reads `0.01`, `5%` or `2se`, the last two also with a floor: `5%,0.001`. Throws `InputError` whose message starts with
 * `where` for anything else.
 */
export function parseTolerance(text: string, where: string): Tolerance {
  const [, number = "", suffix, floorText] = /^\s*([^\s,]*?)\s*(%|se)?\s*(?:,\s*([^\s,]+)\s*)?$/s.exec(text) ?? [];
  const amount = number === "" ? Number.NaN : Number(number);
  const floor = floorText === undefined ? 0 : Number(floorText);
  const isNumber = [amount, floor].every((value) => Number.isFinite(value) && value >= 0);
  if (!isNumber || (suffix === undefined && floorText !== undefined)) {
    throw new InputError(`${where}: ${printable(text)} is not allowed; ${toleranceForms} is expected`);
  }
  const withFloor = `${shortNumber(amount)}${suffix ?? ""}${floorText === undefined ? "" : `,${shortNumber(floor)}`}`;
  if (suffix === "%") return { amount: amount / 100, unit: "relative", floor, text: withFloor };
  return { amount, unit: suffix === "se" ? "standard errors" : "absolute", floor, text: withFloor };
}

/** The tolerance of a column; an interval has that of its metric. */
export function toleranceOf({ overall, byColumn }: Tolerances, column: string): Tolerance {
  return byColumn.get(metricOfColumn(column)) ?? overall;
}

/**
 * How far `now` may be from `baseline`. A tolerance of 0 without a floor demands equality; any other is at least its floor
 * and 1e-9 · max(1, |baseline|, |now|), so that rounding never counts as a change, even if the baseline is 0.
 *
 * @param standardError of the change; must be given for a tolerance in standard errors
 */
export function allowedChange(
  { amount, unit, floor }: Tolerance,
  baseline: number,
  now: number,
  standardError: number | null,
): number {
  if (amount === 0 && floor === 0) return 0;
  const units = { absolute: 1, relative: Math.abs(baseline), "standard errors": standardError ?? 0 };
  return Math.max(amount * units[unit], floor, roundingOf(baseline, now));
}

/** A tolerance as people write it, to four digits: `0.01`, `1e-6`. */
export function shortNumber(value: number): string {
  const rounded = Number(value.toPrecision(4));
  const [plain, exponential] = [String(rounded), rounded.toExponential()];
  return plain.length <= exponential.length ? plain : exponential;
}

/** How far apart rounding can move two numbers. */
export function roundingOf(a: number, b: number): number {
  return rounding * Math.max(1, Math.abs(a), Math.abs(b));
}

/** What a change of a number means: `changed` if neither way is better. */
export function judgeChange(change: number, allowed: number, better: Better): "same" | "better" | "worse" | "changed" {
  if (Math.abs(change) <= allowed * (1 + slack)) return "same";
  if (better === null) return "changed";
  return change < 0 === (better === "lower") ? "better" : "worse";
}
