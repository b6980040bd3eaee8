import type { ComparedCell, Comparison } from "../../../src/core/results/comparison.ts";

/** A comparison of one metric in two folders; a router's cells are a mean and half the width of its interval. */
export function comparisonOf(
  rows: Readonly<Record<string, readonly (readonly [mean: number, halfWidth: number | null] | null)[]>>,
): Comparison {
  return {
    folders: ["before", "after"].map((name) => ({ folder: name, name, source: "scenario" as const })),
    fields: [],
    emptyMetrics: [],
    unmatchedFolders: [],
    metrics: [
      {
        column: "churn",
        label: "churn",
        better: null,
        isMain: true,
        rows: Object.entries(rows).map(([router, cells]) => ({
          router,
          cells: cells.map(
            (cell): ComparedCell | null => cell && { mean: cell[0], halfWidth: cell[1], count: 3, change: null },
          ),
        })),
      },
    ],
  };
}
