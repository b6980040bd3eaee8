import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { headerOf, summaryColumnsOf } from "../../../src/core/results/result-columns.ts";
import { intervalTable, routeTimes, variantsOf } from "../../../src/core/results/variants.ts";
import { writeTable } from "../../../src/node/files/write-results.ts";
import { madeSweep } from "../../support/made-sweep.ts";
import { moesim, readCsv, temporaryFolder } from "../../support/program.ts";

const sweep = () =>
  madeSweep(
    ["topK"],
    [
      {
        seed: 1,
        values: ["1"],
        rows: [
          { router: "a", routeMs: 1 },
          { router: "b", routeMs: 10 },
        ],
      },
      { seed: 2, values: ["1"], rows: [{ router: "a", routeMs: 2 }, { router: "b" }] },
      { seed: 1, values: ["2"], rows: [{ router: "a", routeMs: 7 }, { router: "b" }] },
      { seed: 2, values: ["2"], rows: [{ router: "a", routeMs: 8 }, { router: "b" }] },
    ],
  );

describe("routeTimes", () => {
  it("is the mean over a variant's seeds of the medians in timing.csv, of those there are", () => {
    const results = sweep();
    const variants = variantsOf(results);
    expect(variants.map(({ name }) => name)).toEqual(["a topK=1", "b topK=1", "a topK=2", "b topK=2"]);
    expect(routeTimes(results, variants)).toEqual([1.5, 10, 7.5, null]);
  });

  it("does without the times of a file that is missing", () => {
    const results = sweep();
    rmSync(path.join(results.folder, "cells/2/timing.csv"));
    expect(routeTimes(results, variantsOf(results))).toEqual([1.5, 10, 8, null]);
  });
});

describe("intervals.csv", () => {
  /** The 0.975 quantile of Student's t with two degrees of freedom, in closed form: (2p − 1) / √(2p(1 − p)). */
  const quantileOfTwo = 0.95 / Math.sqrt(2 * 0.975 * 0.025);

  const summaryHeader = headerOf(summaryColumnsOf("none"));
  // In the summary's order, but with the standard error beside its mean.
  const metrics = summaryHeader
    .slice(summaryHeader.indexOf("max_vio_global"))
    .filter((column) => column !== "regret_se")
    .flatMap((column) => (column === "regret_mean" ? [column, "regret_se"] : [column]));

  function meanOf(values: readonly number[]): number {
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }

  /** Half the width of the 95 % interval around the mean of three values. */
  function halfWidthOf(values: readonly number[]): number {
    const squares = values.map((value) => (value - meanOf(values)) ** 2);
    return (quantileOfTwo * Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / 2)) / Math.sqrt(3);
  }

  function intervalsOf(results: ReturnType<typeof madeSweep>): string {
    writeTable(results.folder, intervalTable(results));
    return path.join(results.folder, "intervals.csv");
  }

  it("has for each variant of a sweep what summary.csv's rows of three seeds come to, in its order", () => {
    const folder = temporaryFolder();
    const scenario = {
      name: "grid",
      steps: 12,
      tokens: 32,
      experts: 8,
      stream: { kind: "clusters" },
      routers: [{ kind: "topk" }, { kind: "alf-lb" }],
      sweep: { "routers.alf-lb.updateRate": [0.1, 0.01], topK: [1, 2] },
      seeds: [3, 1, 2],
    };
    writeFileSync(path.join(folder, "grid.json"), JSON.stringify(scenario));
    expect(moesim(["sweep", "grid.json", "--out", "out"], folder).code).toBe(0);
    const summary = readCsv(path.join(folder, "out/summary.csv"));
    const intervals = readCsv(path.join(folder, "out/intervals.csv"));

    expect(Object.keys(intervals[0])).toEqual([
      "scenario",
      "router",
      "kind",
      "routers.alf-lb.updateRate",
      "topK",
      "seeds",
      ...metrics.flatMap((metric) => [metric, `${metric}_ci95`]),
    ]);
    const keyOf = (row: Record<string, string>) => [row["routers.alf-lb.updateRate"], row.topK, row.router].join(" ");
    const keys = ["0.1", "0.01"].flatMap((rate) =>
      ["1", "2"].flatMap((topK) => ["topk", "alf-lb"].map((router) => [rate, topK, router].join(" "))),
    );
    expect(intervals.map(keyOf)).toEqual(keys);
    for (const row of intervals) {
      expect(row).toMatchObject({ scenario: "grid", kind: row.router, seeds: "3" });
      const members = summary.filter((each) => keyOf(each) === keyOf(row));
      expect(members.length).toBe(3);
      for (const metric of metrics) {
        const texts = members.map((each) => each[metric]);
        if (texts.every((text) => text === "")) {
          expect([row[metric], row[`${metric}_ci95`]]).toEqual(["", ""]);
          continue;
        }
        const values = texts.map(Number);
        // Sums of three in another order: a few units in the last place.
        expect(Math.abs(Number(row[metric]) - meanOf(values))).toBeLessThanOrEqual(1e-14 * Math.abs(meanOf(values)));
        // The quantile's own relative error is below 5e-10 at two degrees of freedom.
        expect(Math.abs(Number(row[`${metric}_ci95`]) - halfWidthOf(values))).toBeLessThanOrEqual(
          1e-9 * Math.max(...values.map(Math.abs)),
        );
      }
    }
  });

  it("has the very value and no half width for one seed", () => {
    const results = madeSweep(["topK"], [{ seed: 1, values: ["2"], rows: [{ router: "a", score: 0.1 + 0.2 }] }]);
    const [row] = readCsv(intervalsOf(results));
    expect(row).toMatchObject({ topK: "2", seeds: "1", score: "0.30000000000000004", score_ci95: "", churn: "" });
  });

  it("counts all seeds, and takes the mean over those that have the metric", () => {
    const scores = [0.25, undefined, 0.75, 0.5];
    const results = madeSweep(
      [],
      scores.map((score, seed) => ({
        seed,
        values: [],
        rows: [{ router: "a", score, churn: score && seed > 2 ? 1 : "" }],
      })),
    );
    const [row] = readCsv(intervalsOf(results));
    expect(row).toMatchObject({ seeds: "4", score: "0.5", churn: "1", churn_ci95: "" });
    // Deviation 0.25, so 0.25 / √3 times the quantile, whose own relative error is below 5e-10 at two degrees of freedom.
    expect(Number(row.score_ci95) / ((quantileOfTwo * 0.25) / Math.sqrt(3))).toBeCloseTo(1, 9);
  });

  it("writes what a spreadsheet reads: each variant once, whatever stands in its names", () => {
    const results = madeSweep(
      ["stream.path"],
      [{ seed: 1, values: ['a,"b"\nc'], rows: [{ router: "x,y", score: 1 }] }],
    );
    const file = intervalsOf(results);
    expect(readCsv(file)[0]).toMatchObject({ router: "x,y", "stream.path": 'a,"b"\nc' });
    expect(readFileSync(file, "utf8")).toContain('"x,y"');
  });
});
