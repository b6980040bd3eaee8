import { expect, it } from "vitest";
import { renderComparison } from "../../../src/report/html/comparison-page.tsx";
import { renderReport } from "../../../src/report/html/report-page.tsx";
import { comparisonOf } from "../compare/two-folders.ts";
import { plainData, plainResults } from "../pictures/plain-results.ts";

const swatch = 'class="swatch"';

it("gives routers no colours in tables beside pictures whose colours are those of folders", () => {
  const comparison = comparisonOf({ topk: [[1, null], null] });
  expect(renderComparison(comparison)).toContain("topk");
  expect(renderComparison(comparison)).not.toContain(swatch);
  // A report's tables have them.
  const row = { scenario: "s", router: "topk", kind: "topk", seed: 0, steps: 1, experts: 2, max_vio_global: 0 };
  expect(renderReport(plainData(plainResults([row])), [])).toContain(swatch);
});
