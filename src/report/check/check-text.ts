import { rollup, sum } from "d3-array";
import { printable } from "../printable.ts";
import { numberIn } from "../results/result-table.ts";
import { columnsWithin, formatNumber, formatTable } from "../table.ts";
import { columnOf, type Difference, type ResultCheck, type RouterCheck, worstOf } from "./check-result.ts";
import type { Tolerances } from "./tolerances.ts";

const mostRows = 20;
const mostRests = 10;
const wholeNumber = new Intl.NumberFormat("en-US");

/**
 * The check as the terminal shows it: the worst differences, what else there is, notes, and last the verdict. Where the
 * table does not fit into `width` characters, what is allowed is left out of it, and then how large the differences are.
 */
export function formatCheck(check: ResultCheck, tolerances: Tolerances, width = Number.POSITIVE_INFINITY): string {
  const notes = check.notes.map((note) => `note: ${note}\n`);
  const table = check.equal ? "" : `${formatDifferences(check.parts, width)}\n\n`;
  return `${table}${notes.join("")}${formatVerdict(check, tolerances)}\n`;
}

/** One line: whether the results agree, and if not how many of what differ. */
export function formatVerdict({ equal, cells, byKind }: ResultCheck, tolerances: Tolerances): string {
  const total = wholeNumber.format(cells);
  if (equal) {
    const own = Array.from(
      tolerances.byColumn,
      ([column, tolerance]) => `, ${column} within ${toleranceText(tolerance)}`,
    );
    return `all ${total} cells agree within ${toleranceText(tolerances.overall)}${own.join("")}`;
  }
  const counted = (kind: Difference["kind"], singular: string, plural: string) => {
    const count = byKind.get(kind) ?? 0;
    return count === 0 ? [] : [`${wholeNumber.format(count)} ${count === 1 ? singular : plural}`];
  };
  return [
    `${wholeNumber.format(byKind.get("cell") ?? 0)} of ${total} cells differ`,
    ...counted("missing row", "row is missing", "rows are missing"),
    ...counted("extra row", "row is not in the baseline", "rows are not in the baseline"),
    ...counted("missing column", "column is missing", "columns are missing"),
    ...counted("missing file", "file is missing", "files are missing"),
  ].join(", ");
}

/** A tolerance as people write it, to four digits: 0.01, 1e-6. */
function toleranceText(tolerance: number): string {
  const rounded = Number(tolerance.toPrecision(4));
  const [plain, exponential] = [String(rounded), rounded.toExponential()];
  return plain.length <= exponential.length ? plain : exponential;
}

/** A table of the worst differences of `parts`, and by file and column how many more there are. */
export function formatDifferences(parts: readonly RouterCheck[], width = Number.POSITIVE_INFINITY): string {
  const shown = worstOf({ parts }, mostRows);
  return [formatWorst(shown, width), ...restLines(parts, shown)].join("\n");
}

/** The difference in one line: `step 12, max_vio: 0.5 → 0.7 (difference 0.2, allowed 1e-6)`. */
export function formatDifference(difference: Difference): string {
  const { row, difference: size, allowed } = difference;
  const place = Object.entries(row).filter(([name]) => name !== "scenario");
  const where = [...place.map(([name, value]) => `${printable(name)} ${printable(value)}`), whatOf(difference)];
  if (difference.kind !== "cell") return where.join(", ");
  const [before, after] = textsOf(difference);
  const figures = size === null ? "" : ` (difference ${formatNumber(size)}, allowed ${toleranceText(allowed!)})`;
  return `${where.join(", ")}: ${before} → ${after}${figures}`;
}

function formatWorst(shown: readonly Difference[], width: number): string {
  const names = Array.from(new Set(shown.flatMap(({ row }) => Object.keys(row))));
  // What all rows have in common, as they do the scenario's name, would only make the table wider.
  const keys = names.filter((name) => name !== "scenario" || new Set(shown.map(({ row }) => row[name])).size > 1);
  const texts = shown.map(textsOf);
  const orDash = (cell: string) => (cell === "" ? "–" : cell);
  const text = (header: string, cells: readonly string[]) => ({ header, cells, rank: 0, isNumber: false });
  // Of those with the highest rank a narrow terminal does without first.
  const number = (header: string, cells: readonly string[], rank = 0) => ({
    header,
    cells: cells.map(orDash),
    rank,
    isNumber: true,
  });
  const columns = [
    text(
      "file",
      shown.map(({ file }) => file),
    ),
    text(
      "router",
      shown.map(({ router }) => printable(router ?? "")),
    ),
    ...keys.map((name) =>
      text(
        printable(name),
        shown.map(({ row }) => printable(row[name] ?? "")),
      ),
    ),
    text("column", shown.map(whatOf)),
    number(
      "baseline",
      texts.map(([before]) => before),
    ),
    number(
      "now",
      texts.map(([, after]) => after),
    ),
    number(
      "difference",
      shown.map(({ difference }) => formatNumber(difference)),
      1,
    ),
    number(
      "allowed",
      shown.map(({ allowed }) => (allowed === null ? "" : toleranceText(allowed))),
      2,
    ),
  ];
  const kept = columnsWithin(
    width,
    columns.map(({ header }) => header),
    shown.map((_, row) => columns.map(({ cells }) => cells[row])),
    columns.map(({ rank }) => rank),
  ).map((position) => columns[position]);
  return formatTable(
    kept.map(({ header }) => header),
    shown.map((_, row) => kept.map(({ cells }) => cells[row])),
    { alignRight: kept.map(({ isNumber }) => isNumber) },
  );
}

function restLines(parts: readonly RouterCheck[], shown: readonly Difference[]): string[] {
  const inTable = rollup(
    shown,
    (group) => group.length,
    ({ file }) => file,
    columnOf,
  );
  const found = rollup(
    parts.flatMap(({ file, differing }) => Array.from(differing, ([column, count]) => ({ file, column, count }))),
    (group) => sum(group, ({ count }) => count),
    ({ file }) => file,
    ({ column }) => column,
  );
  const rests = Array.from(found, ([file, columns]) =>
    Array.from(columns, ([column, count]) => ({ file, column, count: count - (inTable.get(file)?.get(column) ?? 0) })),
  )
    .flat()
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  if (rests.length === 0) return [];
  const more = (count: number) => wholeNumber.format(count);
  const hidden = rests.slice(mostRests);
  return [
    "",
    `and ${more(sum(rests, ({ count }) => count))} more:`,
    ...rests.slice(0, mostRests).map(({ file, column, count }) => `  ${file}, ${printable(column)}: ${more(count)}`),
    ...(hidden.length === 0 ? [] : [`  other files and columns: ${more(sum(hidden, ({ count }) => count))}`]),
  ];
}

function whatOf({ kind, column }: Difference): string {
  if (kind === "cell") return printable(column!);
  return column === null ? `(${kind})` : `(${kind}) ${printable(column)}`;
}

/** Both cells, numbers with as many digits as tell them apart. */
function textsOf({ kind, baseline, now }: Difference): [string, string] {
  if (kind !== "cell") return ["", ""];
  const [before, after] = [numberIn(baseline!), numberIn(now!)];
  if (before === null || after === null) return [printable(baseline!) || "(empty)", printable(now!) || "(empty)"];
  const fewestDigits = 4;
  const mostDigits = 17;
  for (let digits = fewestDigits; digits < mostDigits; digits++) {
    const texts = [before, after].map((value) => String(Number(value.toPrecision(digits))));
    if (texts[0] !== texts[1]) return [texts[0], texts[1]];
  }
  return [String(before), String(after)];
}
