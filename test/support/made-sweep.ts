import { writeFileSync } from "node:fs";
import path from "node:path";
import { headerOf, summaryColumnsOf, timingColumnsOf } from "../../src/core/results/result-columns.ts";
import type { Results } from "../../src/core/results/results.ts";
import { openResults } from "../../src/node/files/read-results.ts";
import { type Rows, resultFolder } from "./result-folder.ts";

/** A router's row of a cell: the columns of summary.csv that are given, all others empty; `routeMs` of timing.csv. */
export interface MadeRow {
  readonly router: string;
  readonly routeMs?: number;
  readonly [column: string]: string | number | undefined;
}

export interface MadeCell {
  readonly seed: number;
  /** The swept values, in the order of the parameters. */
  readonly values: readonly string[];
  readonly rows: readonly MadeRow[];
  /** What run.json holds; none is written where it is not given. */
  readonly record?: unknown;
}

const timingHeader = headerOf(timingColumnsOf(false));

/** The results of a sweep of `parameters` whose files hold what `cells` tell, in a fresh folder. */
export function madeSweep(parameters: readonly string[], cells: readonly MadeCell[]): Results {
  const trains = cells.some(({ rows }) => rows.some((row) => row.task_loss !== undefined));
  const header = headerOf(summaryColumnsOf(trains ? "trained" : "none"));
  const files: Record<string, Rows> = {};
  const all: string[][] = [];
  for (const [position, { seed, values, rows }] of cells.entries()) {
    const written = rows.map((row) => {
      const filled: MadeRow = { scenario: "made", kind: "topk", seed, steps: 2, experts: 4, max_vio_global: 0, ...row };
      return header.map((column) => String(filled[column] ?? ""));
    });
    files[`cells/${position}/summary.csv`] = [header, ...written];
    files[`cells/${position}/timing.csv`] = [
      timingHeader,
      ...rows.map(({ router, routeMs = "" }) =>
        timingHeader.map((column) => String({ router, route_ms_median: routeMs }[column as string] ?? "")),
      ),
    ];
    all.push(...written.map((row) => [...row, ...values]));
  }
  const folder = resultFolder({ ...files, "summary.csv": [[...header, ...parameters], ...all] });
  for (const [position, { record }] of cells.entries()) {
    if (record !== undefined) {
      writeFileSync(path.join(folder, `cells/${position}/run.json`), JSON.stringify(record));
    }
  }
  return openResults(folder);
}
