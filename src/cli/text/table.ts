import Table from "cli-table3";
import { max, range, sum } from "d3-array";
import type { Colors } from "picocolors/types.js";
import stringWidth from "string-width";
import { formatNumber } from "../../core/results/format.ts";
import { counted } from "../../core/words.ts";

export type TableCell = string | number | null;

export interface TableOptions {
  /** Wraps the last column at that many characters. */
  readonly wrapLast?: number;
  /** Makes the header bold and the best cells green; without it the table is plain. */
  readonly colors?: Colors;
  readonly isBest?: (row: number, column: number) => boolean;
  /** By column; by default, columns without text. */
  readonly alignRight?: readonly boolean[];
}

/**
 * Formats an aligned table for the terminal: text to the left, numbers to the right. Make text from a scenario `printable`
 * first.
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
    // Line by line: a colour that continues past the end of a line would colour the next cells too.
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
 * Returns the columns of a table that fit into `width` characters, in their order. Columns of the highest `rank` are left out
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
  // Each cell has a space on both sides, and another separates two cells.
  const widthOf = (columns: readonly number[]) => sum(columns, (column) => widths[column] + 3) - 1;
  let kept = range(header.length);
  while (widthOf(kept) > width) {
    const last = kept.reduce((highest, column) => (rank[column] > rank[highest] ? column : highest));
    if (rank[last] === 0) break;
    kept = kept.filter((column) => column !== last);
  }
  return kept;
}

/** A table with as many columns as there is room for. */
export interface FittedTable {
  readonly text: string;
  /** The titles of the columns that did not fit, each on one line. */
  readonly leftOut: readonly string[];
}

/** Returns the titles of `header`, on one line each, whose columns are not `kept`. */
export function titlesLeftOut(header: readonly string[], kept: readonly number[]): string[] {
  return header.filter((_, column) => !kept.includes(column)).map((title) => title.replaceAll("\n", " "));
}

/** Returns a sentence that names the columns that did not fit and how to see them; null if all did. */
export function leftOutSentence({ leftOut }: FittedTable): string | null {
  if (leftOut.length === 0) return null;
  return `${counted(leftOut.length, "column")} did not fit: ${leftOut.join(", ")}. --wide shows them; summary.csv and --json have them too.`;
}

/** Says of each of `values` whether it is the best, for highlighting; none is if all are equal or no direction is better. */
export function bestOf(values: readonly (number | null)[], better: "lower" | "higher" | null): boolean[] {
  const given = values.filter((value) => value !== null);
  if (better === null || new Set(given).size < 2) return values.map(() => false);
  const best = better === "lower" ? Math.min(...given) : Math.max(...given);
  return values.map((value) => value === best);
}

function cellText(cell: TableCell): string {
  return typeof cell === "string" ? cell : formatNumber(cell);
}
