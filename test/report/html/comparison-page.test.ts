import { expect, it } from "vitest";
import type { Comparison } from "../../../src/report/compare/comparison.ts";
import { renderComparison } from "../../../src/report/html/comparison-page.tsx";
import { renderReport } from "../../../src/report/html/report-page.tsx";
import { plainData, plainResults } from "../pictures/plain-results.ts";

const swatch = 'class="swatch"';

it("gives routers no colours in tables beside pictures whose colours are those of folders", () => {
  const comparison: Comparison = {
    folders: ["before", "after"].map((name) => ({ folder: name, name, hasScenario: true })),
    fields: [],
    metrics: [
      {
        column: "churn",
        label: "churn",
        better: null,
        isMain: true,
        rows: [{ router: "topk", cells: [{ mean: 1, halfWidth: null, count: 1, change: null }, null] }],
      },
    ],
  };
  expect(renderComparison(comparison)).toContain("topk");
  expect(renderComparison(comparison)).not.toContain(swatch);
  // A report's tables have them.
  const row = { scenario: "s", router: "topk", kind: "topk", seed: 0, steps: 1, experts: 2, max_vio_global: 0 };
  expect(renderReport(plainData(plainResults([row])), [])).toContain(swatch);
});
