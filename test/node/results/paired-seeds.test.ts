import { describe, expect, it } from "vitest";
import { formatComparison } from "../../../src/cli/text/compare-text.ts";
import { metricColumns } from "../../../src/core/metrics/catalogue.ts";
import type { Results } from "../../../src/core/results/results.ts";
import { compareResults } from "../../../src/node/results/compare-results.ts";
import { renderComparison } from "../../../src/page/comparison-page.tsx";
import { madeSweep } from "../../support/made-sweep.ts";

const columns = metricColumns.filter(({ column }) => column === "score");
const scenario = { stream: { kind: "clusters", skew: 1 }, steps: 2, tokens: 8, experts: 4 };
const before = [0.5, 0.61, 0.42, 0.55];
const after = [0.53, 0.65, 0.44, 0.6];

/** A sweep of one router over the seeds 0, 1, … whose scores are `scores`, in the order `order`. */
function resultsOf(scores: readonly (number | "")[], record: unknown, order = Array.from(scores.keys())): Results {
  return madeSweep(
    [],
    order.map((seed) => ({ seed, values: [], rows: [{ router: "a", score: scores[seed] }], record })),
  );
}

function compare(...results: Results[]) {
  const comparison = compareResults(results, columns);
  const { cells } = comparison.metrics[0].rows[0];
  return { comparison, change: cells[1]!.change!, cells };
}

describe("the change from results with the same seeds on the same stream", () => {
  it("has the interval of the paired t-test, in whatever order the seeds are", () => {
    const { change } = compare(resultsOf(before, { scenario }), resultsOf(after, { scenario }, [2, 0, 3, 1]));
    // from scipy.stats import ttest_rel
    // ttest_rel([0.53, 0.65, 0.44, 0.6], [0.5, 0.61, 0.42, 0.55]).confidence_interval(0.95)
    const [low, high] = [0.014457397432391265, 0.05554260256760874];
    // Both work in doubles, and the quantile of Student's t is good to about ten digits.
    expect(change.difference - change.halfWidth!).toBeCloseTo(low, 9);
    expect(change.difference + change.halfWidth!).toBeCloseTo(high, 9);
    expect(change).toMatchObject({ pairedSeeds: 4, isClear: true, direction: "better" });
  });

  it("has an interval of no width where all seeds change alike, and is clear unless they do not change", () => {
    const same = compare(resultsOf(before, { scenario }), resultsOf(before, { scenario })).change;
    expect(same).toEqual({ difference: 0, halfWidth: 0, isClear: false, pairedSeeds: 4, direction: null });
    const shifted = compare(resultsOf([0.25, 0.5], { scenario }), resultsOf([0.5, 0.75], { scenario })).change;
    expect(shifted).toMatchObject({ difference: 0.25, halfWidth: 0, isClear: true, pairedSeeds: 2 });
  });

  it("is said to be paired, in the text and on the page", () => {
    const { comparison } = compare(resultsOf(before, { scenario }), resultsOf(after, { scenario }));
    const colors = { better: (text: string) => text, worse: (text: string) => text };
    expect(formatComparison(comparison, colors)).toContain(
      "Student's t for means; for changes: paired over 4 seeds · *: the change's interval excludes 0",
    );
    const page = renderComparison(comparison);
    expect(page).toContain("95 % confidence intervals of changes: paired over 4 seeds");
    expect(page).toMatch(/\+0\.035\S* ± 0\.02\S* better/);
  });

  it("is told from those that cannot be paired", () => {
    const [first, second] = [resultsOf(before, { scenario }), resultsOf(after, { scenario })];
    const other = resultsOf(after, { scenario: { ...scenario, tokens: 16 } });
    const { comparison, cells } = compare(first, second, other);
    expect(cells.map((cell) => cell?.change?.pairedSeeds)).toEqual([undefined, 4, null]);
    const words = "paired over 4 seeds, and Welch&#39;s if seeds or streams differ";
    expect(renderComparison(comparison).replaceAll("'", "&#39;")).toContain(words);
  });
});

describe("the change from results that differ in", () => {
  const reference = { scenario };
  it.each<[string, readonly (number | "")[], unknown, unknown?]>([
    ["the number of seeds", after.slice(0, 3), reference],
    ["a stream's parameter", after, { scenario: { ...scenario, stream: { kind: "clusters", skew: 2 } } }],
    ["the tokens of a batch", after, { scenario: { ...scenario, tokens: 16 } }],
    ["the steps", after, { scenario: { ...scenario, steps: 3 } }],
    ["the experts", after, { scenario: { ...scenario, experts: 8 } }],
    ["the recorded file", after, { scenario, input: { path: "x.npy", bytes: 9 } }],
    ["what is known of the stream", after, {}],
    ["a seed that has no value", [0.53, 0.65, 0.44, ""], reference],
  ])("%s has Welch's interval", (_, scores, record) => {
    const { change, comparison } = compare(resultsOf(before, reference), resultsOf(scores, record));
    expect(change.pairedSeeds).toBeNull();
    // The two sets of scores overlap.
    expect(change.isClear).toBe(false);
    const colors = { better: (text: string) => text, worse: (text: string) => text };
    expect(formatComparison(comparison, colors)).toContain("for changes: Welch's · *");
  });

  it("other seeds, as many, has Welch's interval", () => {
    const shifted = madeSweep(
      [],
      after.map((score, i) => ({ seed: i + 1, values: [], rows: [{ router: "a", score }], record: reference })),
    );
    expect(compare(resultsOf(before, reference), shifted).change.pairedSeeds).toBeNull();
  });

  it("nothing but have streams that see the router's load has Welch's interval", () => {
    const adversarial = { scenario: { ...scenario, stream: { kind: "adversarial" } } };
    expect(compare(resultsOf(before, adversarial), resultsOf(after, adversarial)).change.pairedSeeds).toBeNull();
  });

  it("nothing but have a single seed has no interval", () => {
    const { change } = compare(resultsOf([0.5], reference), resultsOf([0.75], reference));
    expect(change).toMatchObject({ difference: 0.25, halfWidth: null, pairedSeeds: null });
  });
});
