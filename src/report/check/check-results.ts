import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { sum } from "d3-array";
import { InputError } from "../../core/input-error.ts";
import { checkIsResults } from "../results/results.ts";
import type { ResultCheck } from "./check-result.ts";
import { checkedFilesIn } from "./checked-files.ts";
import { compareFiles } from "./compare-files.ts";
import { createDifferenceCollector } from "./difference-collector.ts";
import type { Tolerances } from "./tolerances.ts";

/**
 * Compares the results in `folder` with those in `baseline`: every file that the baseline holds of summary.csv, steps.csv,
 * loads.csv, diagnostics.csv and intervals.csv, and of a sweep those of its cells. Throws `InputError` where one of the
 * folders holds no results, a file is malformed, or there is nothing to compare, which would agree with whatever was
 * meant. `onBytes` is called with the baseline's bytes as they are read.
 */
export async function checkResults(
  folder: string,
  baseline: string,
  tolerances: Tolerances,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<ResultCheck> {
  checkIsResults(folder);
  checkIsResults(baseline);
  const collector = createDifferenceCollector();
  for (const file of checkedFilesIn(baseline)) {
    if (existsSync(path.join(folder, file))) {
      await compareFiles(file, folder, baseline, tolerances, collector, onBytes);
    } else {
      const nothing = { router: null, row: {}, column: null, baseline: null, now: null };
      collector.add({ kind: "missing file", file, ...nothing, difference: null, allowed: null });
    }
  }
  const result = collector.result();
  if (result.equal && result.cells === 0) {
    throw new InputError(`${baseline}: there is nothing to compare: its files have no rows below their headers`);
  }
  return result;
}

/** The bytes of the baseline that a check reads. */
export function bytesToCheck(baseline: string): number {
  return sum(checkedFilesIn(baseline), (file) => statSync(path.join(baseline, file)).size);
}
