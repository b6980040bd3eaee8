import path from "node:path";
import { printable } from "../printable.ts";
import { sweptSizes } from "../results/results.ts";
import { openRows, type RowReader } from "../results/row-reader.ts";
import { keyColumnsOf, requiredKeys } from "./checked-files.ts";
import { compareCells } from "./compare-cells.ts";
import type { DifferenceCollector } from "./difference-collector.ts";
import { type Tolerances, toleranceOf } from "./tolerances.ts";

type Row = readonly string[];
type Side = "inBaseline" | "inNow";

/** Where a column stands in the rows of both files. */
interface SharedColumn extends Readonly<Record<Side, number>> {
  readonly name: string;
}

/**
 * Compares the file `file` of the results `folder` with that of `baseline`, and tells `collector` what differs. The rows
 * of both are read side by side and found by their key columns. A row whose partner is still to come waits for it, so
 * that memory grows with how far the rows are out of step, and not with the files. Throws `InputError` where one is
 * malformed.
 */
export async function compareFiles(
  file: string,
  folder: string,
  baseline: string,
  tolerances: Tolerances,
  collector: DifferenceCollector,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const required = requiredKeys(file);
  const baselineRows = await openRows(path.join(baseline, file), required, sweptSizes, onBytes);
  try {
    const nowRows = await openRows(path.join(folder, file), required, sweptSizes);
    try {
      await compareRows(file, baselineRows, nowRows, tolerances, collector);
    } finally {
      nowRows.close();
    }
  } finally {
    baselineRows.close();
  }
}

async function compareRows(
  file: string,
  baselineRows: RowReader,
  nowRows: RowReader,
  tolerances: Tolerances,
  collector: DifferenceCollector,
): Promise<void> {
  const shared = sharedColumns(baselineRows, nowRows);
  reportColumns(file, baselineRows, nowRows, collector);
  const keyNames = keyColumnsOf(file, baselineRows.columns);
  const keys = shared.filter(({ name }) => keyNames.includes(name));
  const measured = shared
    .filter(({ name }) => !keyNames.includes(name))
    .map((column) => ({ ...column, tolerance: toleranceOf(tolerances, column.name) }));
  const routerColumn = keys.find(({ name }) => name === "router")!;
  const otherKeys = keys.filter((column) => column !== routerColumn);

  /** The parts of a difference that tell which row it is; `side` says in which file the row is. */
  const placeOf = (row: Row, side: Side) => ({
    file,
    router: row[routerColumn[side]],
    row: Object.fromEntries(otherKeys.map((column) => [column.name, row[column[side]]])),
  });

  function compare(expected: Row, found: Row): void {
    collector.count(file, expected[routerColumn.inBaseline], measured.length);
    for (const { name, inBaseline, inNow, tolerance } of measured) {
      const [baseline, now] = [expected[inBaseline], found[inNow]];
      const difference = compareCells(baseline, now, tolerance);
      if (difference === null) continue;
      collector.add({ kind: "cell", ...placeOf(expected, "inBaseline"), column: name, baseline, now, ...difference });
    }
  }

  const waiting = { inBaseline: createWaitingRows(), inNow: createWaitingRows() };
  const keyOf = (row: Row, side: Side) => JSON.stringify(keys.map((column) => row[column[side]]));
  for (;;) {
    const expected = await baselineRows.next();
    const found = await nowRows.next();
    if (expected === null && found === null) break;
    if (expected !== null && found !== null && keys.every((key) => expected[key.inBaseline] === found[key.inNow])) {
      compare(expected, found);
      continue;
    }
    if (expected !== null) {
      const key = keyOf(expected, "inBaseline");
      const partner = waiting.inNow.take(key);
      if (partner !== null) compare(expected, partner);
      else waiting.inBaseline.add(key, expected);
    }
    if (found !== null) {
      const key = keyOf(found, "inNow");
      const partner = waiting.inBaseline.take(key);
      if (partner !== null) compare(partner, found);
      else waiting.inNow.add(key, found);
    }
  }

  const noCell = { column: null, baseline: null, now: null, difference: null, allowed: null };
  for (const row of waiting.inBaseline.all()) {
    collector.add({ kind: "missing row", ...placeOf(row, "inBaseline"), ...noCell });
  }
  for (const row of waiting.inNow.all()) collector.add({ kind: "extra row", ...placeOf(row, "inNow"), ...noCell });
}

/** The columns that both files have, in the baseline's order. */
function sharedColumns(baseline: RowReader, now: RowReader): SharedColumn[] {
  return baseline.columns
    .map((name, inBaseline) => ({ name, inBaseline, inNow: now.columns.indexOf(name) }))
    .filter(({ inNow }) => inNow >= 0);
}

/** A column that only the baseline has is a difference; one that only the results have comes from a later version. */
function reportColumns(file: string, baseline: RowReader, now: RowReader, collector: DifferenceCollector): void {
  const noCell = { router: null, row: {}, baseline: null, now: null, difference: null, allowed: null };
  for (const column of baseline.columns.filter((name) => !now.columns.includes(name))) {
    collector.add({ kind: "missing column", file, column, ...noCell });
  }
  const added = now.columns.filter((name) => !baseline.columns.includes(name));
  if (added.length > 0)
    collector.note(`${file}: not in the baseline, and not compared: ${added.map(printable).join(", ")}`);
}

/** Rows whose partner is still to come, by key; rows of the same key wait in their order, each as one string to be small. */
interface WaitingRows {
  add(key: string, row: Row): void;
  /** Removes and returns the row that waits longest under `key`; null where none does. */
  take(key: string): Row | null;
  all(): Iterable<Row>;
}

function createWaitingRows(): WaitingRows {
  const rows = new Map<string, string[]>();
  return {
    add(key, row) {
      const text = JSON.stringify(row);
      const same = rows.get(key);
      if (same === undefined) rows.set(key, [text]);
      else same.push(text);
    },
    take(key) {
      const same = rows.get(key);
      const first = same?.shift();
      if (same?.length === 0) rows.delete(key);
      return first === undefined ? null : JSON.parse(first);
    },
    *all() {
      for (const same of rows.values()) for (const text of same) yield JSON.parse(text);
    },
  };
}
