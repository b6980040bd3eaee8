import Table from "cli-table3";
import { max, range, sum } from "d3-array";
import type { Colors } from "picocolors/types.js";
import stringWidth from "string-width";
import { formatNumber } from "../../core/results/format.ts";
import { counted } from "../../core/words.ts";

export type TableCell = string | number | null;

export interface TableOptions {
  /** Breaks the last column into lines of that many characters. */
  readonly wrapLast?: number;
  /** Makes the header bold and the best cells green; without it nothing is coloured. */
  readonly colors?: Colors;
  readonly isBest?: (row: number, column: number) => boolean;
  /** By column; where it is not given, columns without text are. */
  readonly alignRight?: readonly boolean[];
}

/**
 * An aligned table for the terminal: text to the left, numbers to the right. Text that comes from a scenario must have
 * been made `printable`.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly TableCell[])[],
  { wrapLast, colors, isBest, alignRight }: TableOptions = {},
): string {
  const isRight = alignRight ?? header.map((_, column) => rows.every((row) => typeof row[column] !== "string"));
  const bold = colors?.bold ?? String;
  const green = colors?.green ?? String;
  const table = new Table({
    // Line by line, since a colour that goes over a line's end would go over the cells beside it.
    head: header.map((title) => title.split("\n").map(bold).join("\n")),
    colAligns: isRight.map((right) => (right ? "right" : "left")),
    colWidths: header.map((_, column) => (column === header.length - 1 ? (wrapLast ?? null) : null)),
    wordWrap: wrapLast !== undefined,
    style: { head: [], border: [], compact: true },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      right: "",
      "right-mid": "",
      mid: "─",
      "mid-mid": "─",
      middle: " ",
    },
  });
  table.push(
    ...rows.map((row, rowIndex) =>
      row.map((cell, column) => (isBest?.(rowIndex, column) ? green(cellText(cell)) : cellText(cell))),
    ),
  );
  return table.toString();
}

/**
 * The columns of a table that fit into `width` characters of a terminal, in their order. Those of the highest `rank` are left out
 * first; columns of rank 0 always stay.
 */
export function columnsWithin(
  width: number,
  header: readonly string[],
  rows: readonly (readonly TableCell[])[],
  rank: readonly number[],
): number[] {
  const widths = header.map(
    (title, column) =>
      max(
        [title, ...rows.map((row) => cellText(row[column]))].flatMap((text) => text.split("\n")),
        stringWidth,
      )!,
  );
  // A space before and behind each cell, and one between two.
  const widthOf = (columns: readonly number[]) => sum(columns, (column) => widths[column] + 3) - 1;
  let kept = range(header.length);
  while (widthOf(kept) > width) {
    const last = kept.reduce((highest, column) => (rank[column] > rank[highest] ? column : highest));
    if (rank[last] === 0) break;
    kept = kept.filter((column) => column !== last);
  }
  return kept;
}

/** A table as wide as there is room for. */
export interface FittedTable {
  readonly text: string;
  /** The titles of the columns that did not fit, each on one line. */
  readonly leftOut: readonly string[];
}

/** The titles of `header`, on one line each, whose columns are not among those `kept`. */
export function titlesLeftOut(header: readonly string[], kept: readonly number[]): string[] {
  return header.filter((_, column) => !kept.includes(column)).map((title) => title.replaceAll("\n", " "));
}

/** A sentence that names the columns that did not fit, and how to see them; null if all did. */
export function leftOutSentence({ leftOut }: FittedTable): string | null {
  if (leftOut.length === 0) return null;
  return `Without ${counted(leftOut.length, "column")} that did not fit: ${leftOut.join(", ")}. --wide shows them; summary.csv and --json have them too.`;
}

/** Whether each of `values` is the best of them, for highlighting: nothing is where all are equal, or none is better. */
export function bestOf(values: readonly (number | null)[], better: "lower" | "higher" | null): boolean[] {
  const given = values.filter((value) => value !== null);
  if (better === null || new Set(given).size < 2) return values.map(() => false);
  const best = better === "lower" ? Math.min(...given) : Math.max(...given);
  return values.map((value) => value === best);
}

function cellText(cell: TableCell): string {
  return typeof cell === "string" ? cell : formatNumber(cell);
}
