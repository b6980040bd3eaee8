import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { stringify } from "csv-stringify/sync";
import { temporaryFolder } from "./program.ts";

/** The rows of a CSV file, its header first. */
export type Rows = readonly (readonly string[])[];

/** A fresh folder with the CSV files `files`, by their path in it. */
export function resultFolder(files: Readonly<Record<string, Rows>>): string {
  const folder = temporaryFolder();
  for (const [file, rows] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), stringify(rows as string[][]));
  }
  return folder;
}

/** Rows of summary.csv with the columns that every version has, and `score`; `[router, seed, score, …parameters]`. */
export function summaryRows(
  rows: readonly (readonly [router: string, seed: number, score: string, ...parameters: string[]])[],
  parameters: readonly string[] = [],
): Rows {
  return [
    ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global", "score", ...parameters],
    ...rows.map(([router, seed, score, ...values]) => [
      "s",
      router,
      "topk",
      `${seed}`,
      "2",
      "4",
      "0.5",
      score,
      ...values,
    ]),
  ];
}
