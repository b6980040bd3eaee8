import { closeSync, openSync, writeFileSync } from "node:fs";
import { stringify } from "csv-stringify/sync";

/** A cell: null is written as nothing; a number so that reading it back gives the same double. */
export type CsvValue = string | number | null;

const rowsPerWrite = 512;

/** Writes a CSV file (RFC 4180, line feeds) in pieces, so that memory does not grow with it. */
export interface CsvFile {
  write(row: readonly CsvValue[]): void;
  close(): void;
}

/** Opens `file` for writing, replacing what is there. `header` null leaves the header row out. */
export function createCsvFile(file: string, header: readonly string[] | null): CsvFile {
  const descriptor = openSync(file, "w");
  let rows: (readonly CsvValue[])[] = header === null ? [] : [header];

  function flush(): void {
    if (rows.length > 0) writeFileSync(descriptor, stringify(rows as CsvValue[][]));
    rows = [];
  }

  return {
    write(row) {
      rows.push(row);
      if (rows.length >= rowsPerWrite) flush();
    },
    close() {
      flush();
      closeSync(descriptor);
    },
  };
}
