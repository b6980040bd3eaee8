import Table from "cli-table3";

const digits = 4;
const shortNumber = new Intl.NumberFormat("en-US", { maximumSignificantDigits: digits, useGrouping: false });
/** Below this the zeros behind the point would be more than the digits after them. */
const leastWritten = 1e-4;

/** A number with four significant digits for people's eyes; a dash where there is none. */
export function formatNumber(value: number | null): string {
  if (value === null) return "–";
  const isTiny = value !== 0 && Math.abs(value) < leastWritten;
  return isTiny ? value.toExponential(digits - 1) : shortNumber.format(value);
}

/**
 * An aligned table for the terminal: text to the left, numbers to the right. `wrapLast` breaks the last column into lines
 * of that many characters.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
  wrapLast?: number,
): string {
  const isNumeric = header.map((_, column) => rows.every((row) => typeof row[column] !== "string"));
  const table = new Table({
    head: Array.from(header),
    colAligns: isNumeric.map((numeric) => (numeric ? "right" : "left")),
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
  table.push(...rows.map((row) => row.map((cell) => (typeof cell === "string" ? cell : formatNumber(cell)))));
  return table.toString();
}
