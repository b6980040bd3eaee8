import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { deviation, mean, sum } from "d3-array";
import { InputError } from "../../core/input-error.ts";
import { directionOf, metricColumns } from "../../core/metrics/catalogue.ts";
import { printable } from "../../core/results/format.ts";
import { numberIn, sweptSizes } from "../../core/results/results.ts";
import { listed } from "../../core/words.ts";
import { checkIsResults, openRows, type RowReader } from "../files/read-results.ts";
import { checkedFilesIn, judgedNames, keyPositionsOf, requiredKeys } from "./checked-files.ts";
import { countsOf, createFindingCollector, type Finding, type RouterFindings } from "./findings.ts";
import {
  type ComparedRow,
  type Gate,
  type GateResult,
  type GateRow,
  gateTolerances,
  judgeGate,
  type LimitedRow,
  type UnjudgedRow,
  type UnpairedRow,
} from "./gate.ts";
import { allowedChange, judgeChange, type Tolerance, type Tolerances, toleranceOf } from "./tolerances.ts";

/** What makes a check fail. */
export interface CheckRules {
  /**
   * `worse`: a metric whose mean over seeds is worse than the baseline's, in summary.csv and layers.csv. `different`: any
   * cell of any file that differs either way.
   */
  readonly failOn: "worse" | "different";
  readonly tolerances: Tolerances;
  /** Whether rows and values that the baseline lacks also fail. */
  readonly isStrict: boolean;
  readonly gate: Gate | null;
}

/** What a check found. */
export interface ResultCheck {
  readonly passed: boolean;
  /** What the comparison with the baseline found; empty without one. */
  readonly parts: readonly RouterFindings[];
  /** In the order of the gate file; empty without one. */
  readonly gate: readonly GateResult[];
  /** Rows that an entry of the gate matches but cannot judge, because a folder lacks them; they do not fail by themselves. */
  readonly notJudged: readonly UnjudgedRow[];
  /** Remarks on what cannot fail. */
  readonly notes: readonly string[];
}

type Row = readonly string[];
type Side = "inBaseline" | "inNow";

/** The position of a column in both files; −1 in a file that lacks it. */
interface SharedColumn extends Readonly<Record<Side, number>> {
  readonly name: string;
}

/** A row of summary.csv or layers.csv in both folders, with all seeds that both have. */
interface PairedRow extends GateRow {
  readonly file: string;
  readonly pairs: { readonly expected: Row; readonly found: Row }[];
}

/**
 * Checks the results in `folder` against the files of `baseline`, if there is one, and against the gate of `rules`. Throws
 * `InputError` if a folder has no results, a file is malformed, an entry of the gate judges nothing, a tolerance in
 * standard errors meets a single seed, or there is nothing to compare.
 *
 * @param onBytes called with the baseline's bytes as they are read
 */
export async function checkResults(
  folder: string,
  baseline: string | null,
  rules: CheckRules,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<ResultCheck> {
  checkIsResults(folder);
  const { gate } = rules;
  const comparison = baseline === null ? null : await compareFolders(folder, baseline, rules, onBytes);
  const limited = gate === null ? [] : await limitedRowsIn(folder);
  const { results, notJudged } =
    gate === null
      ? { results: [], notJudged: [] }
      : judgeGate(gate, limited, comparison?.compared ?? null, comparison?.unpaired ?? []);
  const parts = comparison?.parts ?? [];
  return {
    passed: parts.every(({ failing }) => failing === 0) && results.every(({ passed }) => passed),
    parts,
    gate: results,
    notJudged,
    notes: comparison?.notes ?? [],
  };
}

/** The files of the baseline that a check compares, relative to it. */
function filesToCheck(baseline: string, failOn: CheckRules["failOn"]): string[] {
  const files = checkedFilesIn(baseline);
  return failOn === "different" ? files : files.filter(isJudged);
}

/** The bytes of the baseline that a check reads. */
export function bytesToCheck(baseline: string, failOn: CheckRules["failOn"]): number {
  return sum(filesToCheck(baseline, failOn), (file) => statSync(path.join(baseline, file)).size);
}

/** Whether the file's means over seeds are judged. `file` is relative to the folder; files of cells have one seed. */
function isJudged(file: string): boolean {
  return judgedNames.some((name) => name === file);
}

function differentScenarios(file: string, inBaseline: readonly string[], inNow: readonly string[]): string {
  const named = (names: readonly string[]) => listed(names.map((name) => `"${printable(name)}"`));
  return (
    `${file}: no row has a counterpart, because the baseline is of ${named(inBaseline)} and the results of ${named(inNow)}. Rows ` +
    "are matched by the scenario's name, which `measure` takes from the file: give both the same name."
  );
}

interface FolderComparison {
  readonly parts: readonly RouterFindings[];
  readonly compared: readonly ComparedRow[];
  readonly unpaired: readonly UnpairedRow[];
  readonly notes: readonly string[];
}

async function compareFolders(
  folder: string,
  baseline: string,
  rules: CheckRules,
  onBytes: (bytes: number) => void,
): Promise<FolderComparison> {
  checkIsResults(baseline);
  const { failOn, isStrict, tolerances } = rules;
  const collector = createFindingCollector();
  const compared: ComparedRow[] = [];
  const unpaired: UnpairedRow[] = [];
  const notes: string[] = [];
  const seen = new Set<string>();

  function add(finding: Omit<Finding, "fails">): void {
    const { verdict, kind, column } = finding;
    const isDifferent = failOn === "different";
    // Such as the standard error of regret, which is empty if every step is measured.
    const isUndirected = kind === "value" && directionOf(column!) === null;
    const failing = {
      missing: isDifferent || !isUndirected,
      worse: true,
      changed: isDifferent,
      new: isStrict || (isDifferent && kind === "value"),
      better: isDifferent,
    };
    collector.add({ ...finding, fails: failing[verdict] });
  }

  /** Compares the file `file` of both folders, whose rows `join` pairs. */
  async function compareFile(file: string, baselineRows: RowReader, nowRows: RowReader): Promise<void> {
    const columns = sharedColumns(baselineRows, nowRows);
    reportColumns(file, baselineRows, nowRows);
    const keyPositions = keyPositionsOf(file, baselineRows.columns);
    const keys = columns.filter(({ inBaseline }) => keyPositions.includes(inBaseline));
    const measured = columns.filter(({ inBaseline }) => !keyPositions.includes(inBaseline));
    for (const { name } of measured) seen.add(name);
    const router = keys.find(({ name }) => name === "router")!;
    const otherKeys = keys.filter((column) => column !== router);
    const isMean = ({ name }: SharedColumn) =>
      failOn === "worse" || toleranceOf(tolerances, name).unit === "standard errors";
    // A tolerance in standard errors applies to means over seeds, not to single cells.
    const asCells = measured
      .filter((column) => !isMean(column))
      .map((column) => ({ ...column, tolerance: toleranceOf(tolerances, column.name) }));
    const asMeans = measured.filter(isMean);
    const paired = new Map<string, PairedRow>();

    /** Describes a row of the file of `side`. */
    const placeOf = (row: Row, side: Side, but = "") => ({
      file,
      router: row[router[side]],
      row: Object.fromEntries(
        otherKeys.filter(({ name }) => name !== but).map((column) => [column.name, row[column[side]]]),
      ),
    });

    function compareCells(expected: Row, found: Row): void {
      let same = 0;
      for (const { name, inBaseline, inNow, tolerance } of asCells) {
        const difference = compareCell(name, expected[inBaseline], found[inNow], tolerance);
        if (difference === null) same += 1;
        else add({ kind: "value", ...placeOf(expected, "inBaseline"), column: name, ...difference });
      }
      collector.addSame(file, expected[router.inBaseline], same);
    }

    const scenarioOf = (row: Row, side: Side) => row[keys.find(({ name }) => name === "scenario")?.[side] ?? -1] ?? "";
    const unmatched = { inBaseline: new Set<string>(), inNow: new Set<string>() };
    const noValue = { column: null, baseline: null, now: null, change: null, allowed: null };
    await join(baselineRows, nowRows, keys, {
      onPair(expected, found) {
        if (asCells.length > 0) compareCells(expected, found);
        if (!isJudged(file)) return;
        const place = placeOf(expected, "inBaseline", "seed");
        const key = JSON.stringify([place.router, place.row]);
        const row = paired.get(key) ?? { ...place, pairs: [] };
        paired.set(key, row);
        row.pairs.push({ expected, found });
      },
      onMissing(row) {
        unmatched.inBaseline.add(scenarioOf(row, "inBaseline"));
        add({ kind: "row", verdict: "missing", ...placeOf(row, "inBaseline"), ...noValue });
        if (isJudged(file)) unpaired.push({ ...placeOf(row, "inBaseline", "seed"), lackedBy: "results" });
      },
      onNew(row) {
        unmatched.inNow.add(scenarioOf(row, "inNow"));
        add({ kind: "row", verdict: "new", ...placeOf(row, "inNow"), ...noValue });
        if (isJudged(file)) unpaired.push({ ...placeOf(row, "inNow", "seed"), lackedBy: "baseline" });
      },
    });

    const { inBaseline, inNow } = unmatched;
    if (paired.size === 0 && inBaseline.size * inNow.size > 0 && ![...inNow].some((name) => inBaseline.has(name))) {
      notes.push(differentScenarios(file, [...inBaseline], [...inNow]));
    }
    for (const row of paired.values()) {
      for (const column of asMeans) {
        const outcome = judgeMeans(row, column, rules);
        if (outcome === "same") collector.addSame(file, row.router, 1);
        else if (outcome !== null)
          add({ kind: "value", file, router: row.router, row: row.row, column: column.name, ...outcome });
      }
      const columnOf = (name: string): SharedColumn => {
        return { name, inBaseline: baselineRows.columns.indexOf(name), inNow: nowRows.columns.indexOf(name) };
      };
      compared.push({
        router: row.router,
        row: row.row,
        changeOf(name, tolerance) {
          const values = valuesOf(row, columnOf(name));
          return values.length === 0
            ? null
            : { ...meansOf(values), allowed: allowedOf(row, name, values, [tolerance], tolerances.overall) };
        },
        hasBoth: (name) => textsOf(row, columnOf(name)).some(([before, after]) => before !== "" && after !== ""),
        lackedBy(name) {
          const texts = textsOf(row, columnOf(name));
          if (texts.some(([before, after]) => before !== "" && after === "")) return "results";
          return texts.some(([before, after]) => before === "" && after !== "") ? "baseline" : null;
        },
      });
    }
  }

  /** Reports columns that only one file has: of a later version, or of another kind of scenario. */
  function reportColumns(file: string, baselineRows: RowReader, nowRows: RowReader): void {
    const noCell = { router: null, row: {}, baseline: null, now: null, change: null, allowed: null };
    for (const column of baselineRows.columns.filter((name) => !nowRows.columns.includes(name))) {
      add({ kind: "column", verdict: "missing", file, column, ...noCell });
    }
    const added = nowRows.columns.filter((name) => !baselineRows.columns.includes(name));
    if (added.length > 0) {
      notes.push(`${file}: not in the baseline, and so not compared: ${added.map(printable).join(", ")}`);
    }
  }

  for (const file of filesToCheck(baseline, failOn)) {
    if (existsSync(path.join(folder, file))) {
      await withRows(path.join(baseline, file), requiredKeys(file), onBytes, (baselineRows) =>
        withRows(path.join(folder, file), requiredKeys(file), undefined, (nowRows) =>
          compareFile(file, baselineRows, nowRows),
        ),
      );
    } else {
      const nothing = { router: null, row: {}, column: null, baseline: null, now: null, change: null, allowed: null };
      add({ kind: "file", verdict: "missing", file, ...nothing });
    }
  }
  const parts = collector.parts();
  if (countsOf(parts).size === 0) {
    throw new InputError(`${baseline}: there is nothing to compare: its files have no rows below their headers`);
  }
  if (failOn === "different" && tolerances.overall.unit === "standard errors") {
    notes.push(
      `--tolerance ${tolerances.overall.text}: only means over seeds have standard errors, so single cells are not compared`,
    );
  }
  for (const name of tolerances.byColumn.keys()) {
    if (!seen.has(name)) notes.push(`--metric ${name}: ${unusedTolerance(failOn)}`);
  }
  return { parts, compared, unpaired, notes };
}

function unusedTolerance(failOn: CheckRules["failOn"]): string {
  return failOn === "worse"
    ? "is not a column of summary.csv here, and the other files are compared with --fail-on different only"
    : "is not a column of the files that are compared";
}

/** How a value differs from the baseline's. */
type Outcome = Pick<Finding, "verdict" | "baseline" | "now" | "change" | "allowed">;

/** Compares a column's means over the seeds of a row; null if it is empty in both folders. */
function judgeMeans(
  one: PairedRow,
  column: SharedColumn,
  { tolerances, gate, failOn }: CheckRules,
): Outcome | "same" | null {
  const { name } = column;
  const texts = textsOf(one, column);
  const hasText = texts.some((both) => both.some((text) => text !== "" && numberIn(text) === null));
  const isText = hasText && !metricColumns.some((metric) => metric.column === name);
  const values = isText ? [] : valuesOf(one, column);
  const ofGate = gate === null || failOn === "different" ? [] : gateTolerances(gate, name, one);
  const own = ofGate.length > 0 ? ofGate : [toleranceOf(tolerances, name)];
  // Also for equal values, so that a tolerance that cannot be applied is refused before it is needed.
  const allowed = values.length === 0 ? null : allowedOf(one, name, values, own, tolerances.overall);

  const noNumbers = { change: null, allowed: null };
  const differing = texts.find(([before, after]) => before !== after);
  if (differing === undefined) return texts.every(([before]) => before === "") ? null : "same";
  const vanished = texts.find(([before, after]) => before !== "" && after === "");
  if (vanished !== undefined) return { verdict: "missing", baseline: vanished[0], now: "", ...noNumbers };
  if (isText) return { verdict: "changed", baseline: differing[0], now: differing[1], ...noNumbers };
  if (allowed === null) return { verdict: "new", baseline: "", now: differing[1], ...noNumbers };
  const { baseline, now } = meansOf(values);
  const change = now - baseline;
  const verdict = judgeChange(change, allowed, directionOf(name));
  return verdict === "same" ? verdict : { verdict, baseline: String(baseline), now: String(now), change, allowed };
}

/** Compares two cells; null if they agree. Numbers may differ by the tolerance, other text must be equal. */
export function compareCell(column: string, baseline: string, now: string, tolerance: Tolerance): Outcome | null {
  if (baseline === now) return null;
  const [expected, found] = [numberIn(baseline), numberIn(now)];
  if (expected === null || found === null) {
    const verdict = now === "" ? "missing" : baseline === "" ? "new" : "changed";
    return { verdict, baseline, now, change: null, allowed: null };
  }
  const change = found - expected;
  const allowed = allowedChange(tolerance, expected, found, null);
  const verdict = judgeChange(change, allowed, directionOf(column));
  return verdict === "same" ? null : { verdict, baseline, now, change, allowed };
}

/** A metric's values for the seeds that have one in both folders, `[baseline, now]`. */
type Values = readonly (readonly [baseline: number, now: number])[];

/** A column's cells, `[baseline, now]` for each seed; empty in a file that lacks the column. */
function textsOf({ pairs }: PairedRow, { inBaseline, inNow }: SharedColumn): (readonly [string, string])[] {
  return pairs.map(({ expected, found }) => [expected[inBaseline] ?? "", found[inNow] ?? ""] as const);
}

/** Throws `InputError` if a cell holds anything but a number. */
function valuesOf(one: PairedRow, column: SharedColumn): Values {
  const numberOf = (text: string, where: string) => {
    const number = numberIn(text);
    if (number !== null) return number;
    throw new InputError(
      `${one.file} of ${where}: router ${JSON.stringify(one.router)}, ${column.name}: ${JSON.stringify(text)} is not a number`,
    );
  };
  return textsOf(one, column)
    .filter(([before, after]) => before !== "" && after !== "")
    .map(([before, after]) => [numberOf(before, "the baseline"), numberOf(after, "the results")] as const);
}

function meansOf(values: Values): { baseline: number; now: number } {
  return { baseline: mean(values, ([before]) => before)!, now: mean(values, ([, after]) => after)! };
}

/**
 * The smallest change that `tolerances` allow. `overall` is the tolerance of all columns, for messages. Seeds are paired: the
 * standard error is that of the mean change per seed, which cancels what a seed does to both sides alike.
 */
function allowedOf(
  { file, router }: PairedRow,
  column: string,
  values: Values,
  tolerances: readonly Tolerance[],
  overall: Tolerance,
): number {
  const { baseline, now } = meansOf(values);
  const spread = deviation(values, ([before, after]) => after - before);
  const standardError = spread === undefined ? null : spread / Math.sqrt(values.length);
  return Math.min(
    ...tolerances.map((tolerance) => {
      if (tolerance.unit === "standard errors" && standardError === null) {
        throw new InputError(
          `${file}: router ${JSON.stringify(router)} has a single seed in both folders, and the tolerance ${tolerance.text} ` +
            `${tolerance === overall ? "" : `of ${column} `}needs at least two; sweep over seeds, or give a number (0.01) or a percentage (5%)`,
        );
      }
      return allowedChange(tolerance, baseline, now, standardError);
    }),
  );
}

/** The rows of summary.csv and layers.csv in `folder`, with means over seeds. */
async function limitedRowsIn(folder: string): Promise<LimitedRow[]> {
  const limited: LimitedRow[] = [];
  for (const file of judgedNames.filter((name) => existsSync(path.join(folder, name)))) {
    await withRows(path.join(folder, file), requiredKeys(file), undefined, async ({ columns, next }) => {
      const keys = keyPositionsOf(file, columns).filter((position) => !["router", "seed"].includes(columns[position]));
      const router = columns.indexOf("router");
      const groups = new Map<string, PairedRow>();
      for (let cells = await next(); cells !== null; cells = await next()) {
        const row = Object.fromEntries(keys.map((position) => [columns[position], cells![position]]));
        const key = JSON.stringify([cells[router], row]);
        const group = groups.get(key) ?? { file, router: cells[router], row, pairs: [] };
        groups.set(key, group);
        group.pairs.push({ expected: cells, found: cells });
      }
      for (const group of groups.values()) {
        const meanOf = (column: string) => {
          const position = columns.indexOf(column);
          const values = valuesOf(group, { name: column, inBaseline: position, inNow: position });
          return values.length === 0 ? null : meansOf(values).now;
        };
        limited.push({ router: group.router, row: group.row, meanOf });
      }
    });
  }
  return limited;
}

async function withRows<Result>(
  file: string,
  required: readonly string[],
  onBytes: ((bytes: number) => void) | undefined,
  work: (rows: RowReader) => Promise<Result>,
): Promise<Result> {
  const rows = await openRows(file, required, sweptSizes, onBytes);
  try {
    return await work(rows);
  } finally {
    rows.close();
  }
}

/** The columns that both files have, in the baseline's order. Two of the same name are matched in order. */
function sharedColumns(baseline: RowReader, now: RowReader): SharedColumn[] {
  return baseline.columns
    .map((name, inBaseline) => {
      const isSecond = baseline.columns.indexOf(name) < inBaseline;
      return { name, inBaseline, inNow: now.columns.indexOf(name, isSecond ? now.columns.indexOf(name) + 1 : 0) };
    })
    .filter(({ inNow }) => inNow >= 0);
}

/**
 * Reads the rows of both files side by side and pairs those with the same `keys`. A row waits for its partner, so memory
 * grows with how far the files are out of step, not with their size.
 */
async function join(
  baselineRows: RowReader,
  nowRows: RowReader,
  keys: readonly SharedColumn[],
  {
    onPair,
    onMissing,
    onNew,
  }: { onPair(expected: Row, found: Row): void; onMissing(row: Row): void; onNew(row: Row): void },
): Promise<void> {
  const waiting = { inBaseline: createWaitingRows(), inNow: createWaitingRows() };
  const keyOf = (row: Row, side: Side) => JSON.stringify(keys.map((column) => row[column[side]]));
  for (;;) {
    const expected = await baselineRows.next();
    const found = await nowRows.next();
    if (expected === null && found === null) break;
    if (expected !== null && found !== null && keys.every((key) => expected[key.inBaseline] === found[key.inNow])) {
      onPair(expected, found);
      continue;
    }
    if (expected !== null) {
      const key = keyOf(expected, "inBaseline");
      const partner = waiting.inNow.take(key);
      if (partner !== null) onPair(expected, partner);
      else waiting.inBaseline.add(key, expected);
    }
    if (found !== null) {
      const key = keyOf(found, "inNow");
      const partner = waiting.inBaseline.take(key);
      if (partner !== null) onPair(partner, found);
      else waiting.inNow.add(key, found);
    }
  }
  for (const row of waiting.inBaseline.all()) onMissing(row);
  for (const row of waiting.inNow.all()) onNew(row);
}

/** Rows that wait for their partners, by key, in order; each as one string to save memory. */
interface WaitingRows {
  add(key: string, row: Row): void;
  /** Removes and returns the oldest row under `key`; null if there is none. */
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
