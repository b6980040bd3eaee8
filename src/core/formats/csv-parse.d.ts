/** The part of csv-parse's browser build that is used here; its own types need those of Node. */
declare module "csv-parse/browser/esm/sync" {
  export class CsvError extends Error {}
  export function parse(
    text: Uint8Array,
    options: {
      trim: boolean;
      relax_column_count: boolean;
      delimiter: string;
      record_delimiter?: string;
      on_record: (record: string[]) => null;
    },
  ): string[][];
}
