import { ascending } from "d3-array";
import type { ComparedMetric } from "./comparison.ts";

/** How the confidence intervals of the changes in `metrics` are made; null where no change has one. */
export function changeIntervalWords(metrics: readonly ComparedMetric[]): string | null {
  const cells = metrics.flatMap(({ rows }) => rows.flatMap((row) => row.cells));
  const changes = cells.flatMap((cell) => (cell === null || cell.change === null ? [] : [cell.change]));
  const withInterval = changes.filter(({ halfWidth }) => halfWidth !== null);
  if (withInterval.length === 0) return null;
  const paired = new Set(withInterval.flatMap(({ pairedSeeds }) => pairedSeeds ?? []));
  if (paired.size === 0) return "Welch's";
  const words = `paired over ${Array.from(paired).sort(ascending).join(" or ")} seeds`;
  const all = withInterval.every(({ pairedSeeds }) => pairedSeeds !== null);
  return all ? words : `${words}, and Welch's where seeds or streams differ`;
}
