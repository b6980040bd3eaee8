import { expect, it } from "vitest";
import { renderComparison } from "../../src/page/comparison-page.tsx";
import { renderReport } from "../../src/page/report-page.tsx";
import { plainData, plainResults } from "../core/pictures/parts/plain-results.ts";
import { comparisonOf } from "../core/results/two-folders.ts";

const swatch = 'class="swatch"';

it("gives routers no colours in tables beside pictures whose colours are those of folders", () => {
  const comparison = comparisonOf({ topk: [[1, null], null] });
  expect(renderComparison(comparison)).toContain("topk");
  expect(renderComparison(comparison)).not.toContain(swatch);
  // A report's tables have them.
  const row = { scenario: "s", router: "topk", kind: "topk", seed: 0, steps: 1, experts: 2, max_vio_global: 0 };
  expect(renderReport(plainData(plainResults([row])), [])).toContain(swatch);
});

it("calls recordings what they are", () => {
  const comparison = comparisonOf({ topk: [[1, null], null] });
  const of = (...sources: ("scenario" | "measurement")[]) =>
    renderComparison({
      ...comparison,
      folders: comparison.folders.map((folder, position) => ({ ...folder, source: sources[position] })),
    });
  expect(of("scenario", "scenario")).toContain(">Where the scenarios differ</h2>");
  expect(of("measurement", "measurement")).toContain(">Where the recordings differ</h2>");
  expect(of("scenario", "measurement")).toContain(">Where the inputs differ</h2>");
});
