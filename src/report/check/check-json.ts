import { numberIn } from "../results/result-table.ts";
import { type ResultCheck, worstOf } from "./check-result.ts";

/** The most differences that are listed. */
const mostListed = 1000;

/**
 * The check as data for scripts. `differing` counts all differences; `differences` lists the worst, at most 1000 and at
 * most 100 of a router in a file, with numbers where the cells hold them.
 */
export function checkAsJson(check: ResultCheck): object {
  const { equal, cells, differing, notes } = check;
  const cellValue = (cell: string | null) => (cell === null ? null : (numberIn(cell) ?? cell));
  const differences = worstOf(check, mostListed).map((difference) => ({
    ...difference,
    baseline: cellValue(difference.baseline),
    now: cellValue(difference.now),
  }));
  return { equal, cells, differing, differences, notes };
}
