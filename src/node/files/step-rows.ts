import { closeSync, openSync, readSync } from "node:fs";
import { type Column, type StepRow, sourceColumns } from "../../core/results/result-columns.ts";
import type { CsvValue } from "./csv-file.ts";
import { type CheckedPart, openPartFile, type PartMark } from "./part-file.ts";

const rowsPerWrite = 512;

/** The numbers of rows of steps.csv, in float64, until what is only known at the end of a run can be put in. */
export interface StepRows {
  write(row: StepRow): void;
  /** Puts all rows so far on the disk, and says what the file is then. */
  flush(): PartMark;
  close(): void;
}

/**
 * Opens `file` for the numbers of one router's rows, NaN for an empty cell, behind what is `kept`.
 *
 * @param columns all those of steps.csv
 */
export function createStepRows(file: string, columns: readonly Column<StepRow>[], kept: CheckedPart | null): StepRows {
  const { append, mark } = openPartFile(file, kept);
  const numbersPerRow = columns.length - sourceColumns;
  const numbers = new Float64Array(rowsPerWrite * numbersPerRow);
  let rows = 0;

  function writePending(): void {
    append(new Uint8Array(numbers.buffer, 0, rows * numbersPerRow * numbers.BYTES_PER_ELEMENT));
    rows = 0;
  }

  return {
    write(row) {
      for (let i = 0; i < numbersPerRow; i++) {
        const cell = columns[sourceColumns + i].value(row);
        numbers[rows * numbersPerRow + i] = cell === null ? Number.NaN : Number(cell);
      }
      rows += 1;
      if (rows === rowsPerWrite) writePending();
    },
    flush() {
      writePending();
      return mark();
    },
    close: writePending,
  };
}

/**
 * The cells of steps.csv after the first ones, which tell the source, of each row in `file`: one array, overwritten by the
 * next row. `columns` are those that it was written with.
 */
export function* readStepRows(file: string, columns: readonly Column<StepRow>[]): Iterable<CsvValue[]> {
  const numbersPerRow = columns.length - sourceColumns;
  const descriptor = openSync(file, "r");
  const numbers = new Float64Array(rowsPerWrite * numbersPerRow);
  const cells: CsvValue[] = new Array(numbersPerRow).fill(null);
  try {
    for (let bytes = readSync(descriptor, numbers); bytes > 0; bytes = readSync(descriptor, numbers)) {
      const end = bytes / numbers.BYTES_PER_ELEMENT;
      for (let from = 0; from < end; from += numbersPerRow) {
        for (let i = 0; i < numbersPerRow; i++) {
          const value = numbers[from + i];
          cells[i] = Number.isNaN(value) ? null : value;
        }
        yield cells;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}
