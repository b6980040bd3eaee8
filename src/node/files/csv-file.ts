import { appendFileSync, writeFileSync } from "node:fs";
import { stringify } from "csv-stringify/sync";
import type { CsvValue } from "../../core/results/result-columns.ts";

const bytesPerWrite = 2 ** 16;

/** Writes a CSV file (RFC 4180, line feeds) in pieces, so that memory does not grow with it. */
export interface CsvFile {
  write(row: readonly CsvValue[]): void;
  /** Writes the rows that are still in memory. */
  close(): void;
}

/**
 * As `String` writes it. That keeps its last 16,384 results, which outlive young garbage and make memory grow with the
 * rows; JSON, with the same digits, keeps none.
 */
function digitsOf(value: number): string {
  return Number.isFinite(value) ? JSON.stringify(value) : "";
}

/** Starts `file` with the row `header`, replacing what is there. It is open only while it is written to. */
export function createCsvFile(file: string, header: readonly string[]): CsvFile {
  writeFileSync(file, "");
  // Texts are few and come again in row after row, while most cells are numbers, which need no quotes.
  const quoted = new Map<string, string>();
  const pending = Buffer.allocUnsafe(bytesPerWrite);
  let bytes = 0;

  function cellOf(value: CsvValue): string {
    if (value === null) return "";
    if (typeof value === "number") return digitsOf(value);
    let cell = quoted.get(value);
    if (cell === undefined) {
      cell = stringify([[value]], { eof: false });
      quoted.set(value, cell);
    }
    return cell;
  }

  function write(row: readonly CsvValue[]): void {
    let line = cellOf(row[0]);
    for (let i = 1; i < row.length; i++) line += `,${cellOf(row[i])}`;
    line += "\n";
    const length = Buffer.byteLength(line);
    if (bytes + length > bytesPerWrite) writePending();
    if (length > bytesPerWrite) appendFileSync(file, line);
    else bytes += pending.write(line, bytes);
  }

  function writePending(): void {
    if (bytes > 0) appendFileSync(file, pending.subarray(0, bytes));
    quoted.clear();
    bytes = 0;
  }

  write(header);
  return { write, close: writePending };
}
