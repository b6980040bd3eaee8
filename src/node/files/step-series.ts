import { existsSync } from "node:fs";
import { InputError } from "../../core/input-error.ts";
import { type LoadSeries, parseNumber, type StepSeries } from "../../core/results/results.ts";
import { openRows } from "./row-reader.ts";

/**
 * Reads the per-step columns `required` of a run's steps.csv or diagnostics.csv, by router, in pieces: memory grows with
 * the numbers asked for. Empty where there is no such file. Throws `InputError` where it is malformed.
 *
 * @param optional further columns, which some files lack
 */
export async function readStepSeries(
  file: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Promise<ReadonlyMap<string, StepSeries>> {
  const columns = [...required, ...optional];
  const series = new Map<string, { step: number[]; columns: Record<string, number[]> }>();
  await readRows(file, ["router", "step", ...required], optional, (router, [step, ...values]) => {
    let entry = series.get(router);
    if (entry === undefined) {
      entry = { step: [], columns: Object.fromEntries(columns.map((column) => [column, []])) };
      series.set(router, entry);
    }
    entry.step.push(step);
    for (const [position, column] of columns.entries()) entry.columns[column].push(values[position]);
  });
  return series;
}

/**
 * Reads a run's loads.csv, by router. Empty where there is no such file. Throws `InputError` where it is malformed, a
 * load is empty or negative, or the steps of a router do not all list the experts 0, 1, … in order.
 */
export async function readLoadSeries(file: string): Promise<ReadonlyMap<string, LoadSeries>> {
  const series = new Map<string, { step: number[]; load: number[]; experts: number; next: number }>();
  const incomplete = (router: string) =>
    new InputError(`${file}: the loads of router ${JSON.stringify(router)} are not those of all experts on each step`);
  await readRows(file, ["router", "step", "expert", "load"], [], (router, [step, expert, load]) => {
    let entry = series.get(router);
    if (entry === undefined) {
      entry = { step: [], load: [], experts: 0, next: 0 };
      series.set(router, entry);
    }
    if (entry.step.at(-1) !== step) {
      if (entry.step.length === 1) entry.experts = entry.next;
      if (entry.next !== entry.experts && entry.step.length > 0) throw incomplete(router);
      entry.step.push(step);
      entry.next = 0;
    }
    if (expert !== entry.next) throw incomplete(router);
    if (!(load >= 0)) {
      throw new InputError(`${file}: router ${JSON.stringify(router)}, step ${step}, expert ${expert}: has no load`);
    }
    entry.load.push(load);
    entry.next += 1;
  });
  for (const [router, entry] of series) {
    if (entry.step.length === 1) entry.experts = entry.next;
    if (entry.next !== entry.experts) throw incomplete(router);
  }
  return series;
}

/**
 * Calls `onRow` with each row's router, which is the first of the columns `required`, and the numbers in the others and
 * in those `optional`; NaN for an empty cell and for a column that the file lacks.
 */
async function readRows(
  file: string,
  required: readonly string[],
  optional: readonly string[],
  onRow: (router: string, numbers: readonly number[]) => void,
): Promise<void> {
  if (!existsSync(file)) return;
  const reader = await openRows(file, required);
  const columns = [...required, ...optional];
  try {
    const [router, ...positions] = columns.map((column) => reader.columns.indexOf(column));
    let row = 0;
    for (let cells = await reader.next(); cells !== null; cells = await reader.next()) {
      const ofRow = cells;
      const numbers = positions.map(
        (position, index) => parseNumber(ofRow[position] ?? "", file, row, columns[index + 1]) ?? Number.NaN,
      );
      onRow(cells[router], numbers);
      row += 1;
    }
  } finally {
    reader.close();
  }
}
