import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { formatComparison } from "../../src/cli/text/compare-text.ts";
import { InputError } from "../../src/core/input-error.ts";
import { metricColumns } from "../../src/core/metrics/catalogue.ts";
import { comparisonPictures } from "../../src/core/pictures/comparison-pictures.ts";
import { themes } from "../../src/core/pictures/parts/theme.ts";
import type { Results } from "../../src/core/results/results.ts";
import { compareResults, folderNames } from "../../src/node/compare-results.ts";
import { openResults } from "../../src/node/files/read-results.ts";
import { renderSvg } from "../../src/node/render/render.ts";
import { renderComparison } from "../../src/page/comparison-page.tsx";
import { madeSweep } from "../support/made-sweep.ts";
import { resultFolder, summaryRows } from "../support/result-folder.ts";

const columns = metricColumns.filter(({ column }) => ["score", "max_vio_global", "churn"].includes(column));

/** Results with a score of each router and seed, and a scenario where one is given. */
function resultsOf(rows: readonly (readonly [string, number, string])[], scenario?: object) {
  const folder = resultFolder({ "summary.csv": summaryRows(rows) });
  if (scenario !== undefined) writeFileSync(path.join(folder, "run.json"), JSON.stringify({ scenario }));
  return openResults(folder);
}

/** The comparison's metric `score`, its rows by router. */
function scoresOf(...results: ReturnType<typeof resultsOf>[]) {
  const { rows } = compareResults(results, columns).metrics.find(({ column }) => column === "score")!;
  return Object.fromEntries(rows.map(({ router, cells }) => [router, cells]));
}

describe("results side by side", () => {
  it("differ from the first by the difference of means, for the better or for the worse", () => {
    const scores = scoresOf(
      resultsOf([
        ["a", 0, "0.5"],
        ["b", 0, "0.5"],
        ["c", 0, "0.5"],
      ]),
      resultsOf([
        ["c", 0, "0.5"],
        ["b", 0, "0.25"],
        ["a", 0, "0.75"],
      ]),
    );
    const changeOf = (router: string) => scores[router].map((cell) => cell?.change);
    expect(changeOf("a")).toEqual([
      null,
      { difference: 0.25, halfWidth: null, isClear: null, pairedSeeds: null, direction: "better" },
    ]);
    expect(changeOf("b")).toMatchObject([null, { difference: -0.25, direction: "worse" }]);
    expect(changeOf("c")).toMatchObject([null, { difference: 0, direction: null }]);
  });

  it("hold routers and metrics that only some have", () => {
    const scores = scoresOf(
      resultsOf([
        ["a", 0, "0.5"],
        ["b", 0, ""],
      ]),
      resultsOf([
        ["b", 0, "0.25"],
        ["c", 0, "0.25"],
      ]),
    );
    expect(scores.a).toMatchObject([{ mean: 0.5 }, null]);
    expect(scores.b).toMatchObject([null, { mean: 0.25, change: null }]);
    expect(scores.c).toMatchObject([null, { mean: 0.25, change: null }]);
  });

  it("leave out a metric that applies to none", () => {
    const one = resultsOf([["a", 0, "0.5"]]);
    const shown = compareResults([one, one], columns).metrics.map(({ column }) => column);
    // The files have no column churn at all.
    expect(shown).toEqual(["max_vio_global", "score"]);
  });

  it("are means over seeds", () => {
    const seeds = (scores: number[]) => resultsOf(scores.map((score, seed) => ["a", seed, `${score}`]));
    const { a } = scoresOf(seeds([1, 2, 3]), seeds([5, 6, 7]), seeds([1.5, 2, 3]));
    expect(a.map((cell) => cell!.count)).toEqual([3, 3, 3]);
    expect(a[1]).toMatchObject({ mean: 6, change: { difference: 4, isClear: true, direction: "better" } });
    expect(a[2]!.change!.isClear).toBe(false);
  });

  it("name the fields in which their scenarios differ", () => {
    const scenario = {
      name: "s",
      description: "one",
      tokens: 512,
      stream: { kind: "clusters", skew: 1 },
      routers: [{ kind: "topk" }, { kind: "ssr", label: "mine", epsilon: 1 }],
    };
    const other = {
      ...scenario,
      description: "two",
      tokens: 1024,
      stream: { kind: "clusters", skew: 2 },
      routers: [
        { kind: "base", big: true },
        { kind: "ssr", label: "mine", epsilon: 0.5 },
      ],
    };
    const { fields, folders } = compareResults(
      [resultsOf([["a", 0, "1"]], scenario), resultsOf([["a", 7, "1"]], other), resultsOf([["a", 0, "1"]])],
      columns,
    );
    expect(folders.map(({ source }) => source)).toEqual(["scenario", "scenario", null]);
    expect(fields.map(({ path: field, values }) => [field, ...values])).toEqual([
      ["tokens", "512", "1024", null],
      ["stream.skew", "1", "2", null],
      ["routers.topk", '"topk"', null, null],
      ["routers.mine.epsilon", "1", "0.5", null],
      ["seed", "0", "7", null],
      ["routers.base", null, '"base"', null],
    ]);
  });

  it("name what differs between measurements, and take none for a scenario", () => {
    const measured = (ranks: number) => {
      const results = resultsOf([["recorded", 0, ""]]);
      const record = { command: "measure", file: "loads.npy", experts: 8, ranks, versions: { moesim: "0" } };
      const times = { start: `${ranks}`, end: `${ranks}` };
      writeFileSync(path.join(results.folder, "run.json"), JSON.stringify({ ...record, ...times }));
      return results;
    };
    const run = resultsOf([["a", 0, "0.5"]], { tokens: 512 });
    const two = compareResults([measured(1), measured(4)], columns);
    expect(two.folders.map(({ source }) => source)).toEqual(["measurement", "measurement"]);
    expect(two.fields).toEqual([{ path: "ranks", values: ["1", "4"] }]);
    expect(two.emptyMetrics).toEqual(["score", "churn"]);
    expect(two.unmatchedFolders).toEqual([]);
    const mixed = compareResults([run, measured(1), measured(4)], columns);
    expect(mixed.fields).toEqual([{ path: "ranks", values: [null, "1", "4"] }]);
    expect(mixed.unmatchedFolders).toEqual([1, 2]);
    expect(compareResults([run, measured(1)], columns).fields).toEqual([]);
  });

  it("compare the sizes of a recording with those of a scenario", () => {
    const sized = (record: object, sizes: readonly string[]) => {
      const header = ["scenario", "router", "kind", "seed", "steps", "tokens", "experts", "top_k", "max_vio_global"];
      const folder = resultFolder({ "summary.csv": [header, ["s", "a", "topk", "0", ...sizes, "0.5"]] });
      writeFileSync(path.join(folder, "run.json"), JSON.stringify(record));
      return openResults(folder);
    };
    const scenario = { scenario: { steps: 300, experts: 16 } };
    const run = sized(scenario, ["300", "512", "16", "2"]);
    const recording = sized({ command: "measure", loads: "l.npy", experts: 8 }, ["4", "", "8", ""]);
    const comparison = compareResults([recording, run], columns);
    expect(comparison.fields).toEqual([
      { path: "experts", values: ["8", "16"] },
      { path: "steps", values: ["4", "300"] },
    ]);
    const colors = { better: String, worse: String };
    const lines = formatComparison(comparison, colors).split("\n");
    expect(lines[0]).toMatch(/: their inputs differ in$/);
    expect(lines.slice(1, 3)).toEqual(["  experts: 8 → 16", "  steps: 4 → 300"]);
    expect(lines[3]).toMatch(/: a recording of choices or loads, not a scenario$/);
    const alike = compareResults([sized({ command: "measure" }, ["300", "", "16", ""]), run], columns);
    expect(formatComparison(alike, colors)).toMatch(
      /: no known difference in size \(experts, steps, tokens, top_k\), which is all /,
    );
    // The scenarios name their own.
    expect(
      compareResults([sized({ scenario: { steps: 4, experts: 16 } }, ["4", "", "16", ""]), run], columns).fields,
    ).toEqual([{ path: "steps", values: ["4", "300"] }]);
  });

  it.each(["{", "", "[1"])("refuse a run.json that is %j", (text) => {
    const results = resultsOf([["a", 0, "1"]]);
    writeFileSync(path.join(results.folder, "run.json"), text);
    expect(() => compareResults([results, results], columns)).toThrow(InputError);
  });

  it.each(["null", "[]", '{"scenario":null}', '{"scenario":[]}', '{"scenario":{"routers":[null,1,{}]}}'])(
    "make what they can of the run.json %s",
    (text) => {
      const results = resultsOf([["a", 0, "1"]]);
      writeFileSync(path.join(results.folder, "run.json"), text);
      expect(compareResults([results, results], columns).fields).toEqual([]);
    },
  );
});

describe("the pictures of a comparison", () => {
  const seeds = (router: string, scores: number[]) => scores.map((score, seed) => [router, seed, `${score}`] as const);
  const hostile = "<script>@text{a|b}";
  const comparison = compareResults(
    [
      resultsOf([...seeds("topk", [0.5, 0.75]), ...seeds(hostile, [0.25, 0.25])]),
      resultsOf([...seeds("topk", [0.25, 0.5]), ...seeds("1", [0.5, 0.75])]),
    ],
    columns,
  );
  const pictures = comparisonPictures(comparison);

  it("are one for each metric, of plain data", () => {
    expect(pictures.map(({ id }) => id)).toEqual(["compare-max_vio_global", "compare-score"]);
    for (const { option } of pictures) expect(JSON.parse(JSON.stringify(option))).toEqual(option);
  });

  it("tell the largest change", () => {
    const [first, second] = comparison.folders.map(({ name }) => name);
    expect(pictures[1].finding).toBe(
      `From ${first} to ${second}, topk changes most: it goes from 0.625 to 0.375, which is worse.`,
    );
    expect(pictures[0].finding).toBe(`No router differs from ${first}.`);
  });

  it.each(["light", "dark"] as const)("are drawn in %s with every router by its name", (theme) => {
    const svg = renderSvg(pictures[1], themes[theme]);
    for (const name of ["topk", "&lt;script&gt;@text{a|b}", "1"]) expect(svg).toContain(`>${name}</text>`);
    expect(svg).not.toContain("<script>");
  });

  it("have a mark for each router and folder that has it", () => {
    const series = pictures[1].option.series as { name?: string; type: string; data: number[][] }[];
    const marks = series.filter(({ name, type }) => name !== undefined && type === "scatter");
    expect(marks.map(({ data }) => data)).toEqual([
      [
        [0.625, 0],
        [0.25, 1],
      ],
      [
        [0.375, 0],
        [0.625, 2],
      ],
    ]);
  });
});

describe("paired seeds", () => {
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
});

describe("folderNames", () => {
  describe("the names of compared folders", () => {
    it.each([
      [
        ["results/a", "results/b/"],
        ["a", "b"],
      ],
      [
        ["before/run", "after/run"],
        ["before/run", "after/run"],
      ],
      [
        ["x/1/run", "x/2/run", "other"],
        ["1/run", "2/run", "other"],
      ],
      [
        ["/a", "/b/a", "/"],
        ["/a", "b/a", "/"],
      ],
      [
        ["run", "./run"],
        ["run", "run (2)"],
      ],
    ])("of %j are %j", (folders, names) => {
      expect(folderNames(folders)).toEqual(names);
    });
  });
});
