import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { headerOf, summaryColumnsOf } from "../../../src/core/results/result-columns.ts";
import { metricOf, variantsOf } from "../../../src/core/results/variants.ts";
import { openResults } from "../../../src/node/files/results.ts";
import { temporaryFolder } from "../../support/program.ts";

const header = headerOf(summaryColumnsOf(false));

/** One row of summary.csv: the columns named, `parameters` behind them, all else empty. */
function summaryRow(cells: Record<string, string | number>, parameters: readonly string[] = []): string {
  const filled: Record<string, string | number> = { scenario: "made", kind: "topk", steps: 2, experts: 4, ...cells };
  return [...header.map((column) => filled[column] ?? ""), ...parameters].join(",");
}

function writeSummary(folder: string, rows: readonly string[], parameters: readonly string[] = []): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "summary.csv"), `${[[...header, ...parameters].join(","), ...rows].join("\n")}\n`);
}

/** A sweep of `u` over 1 and 2, with seeds 7 and 8 and the routers a and b. */
function writeSweep(folder: string): void {
  const rows: string[] = [];
  let cell = 0;
  for (const u of [1, 2]) {
    for (const seed of [7, 8]) {
      const cells = ["a", "b"].map((router, i) => ({ router, seed, max_vio_global: 10 * u + seed + i }));
      writeSummary(
        path.join(folder, "cells", String(cell++)),
        cells.map((row) => summaryRow(row)),
      );
      rows.push(...cells.map((row) => summaryRow(row, [String(u)])));
    }
  }
  writeSummary(folder, rows, ["routers.a.u"]);
}

describe("openResults", () => {
  it("opens a run as one run with all rows, and reads its description", () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a", seed: 1 }), summaryRow({ router: "b", seed: 1 })]);
    writeFileSync(path.join(folder, "run.json"), JSON.stringify({ scenario: { description: "Why?" } }));
    const results = openResults(folder);
    expect(results).toMatchObject({ name: "made", description: "Why?", parameters: [] });
    expect(results.runs).toMatchObject([{ folder, rows: [0, 1] }]);
    expect(variantsOf(results).map(({ name }) => name)).toEqual(["a", "b"]);
  });

  it("finds the rows of a cell that lacks columns of the others, wherever in the file those stand", () => {
    const folder = temporaryFolder();
    const columns = ["scenario", "router", "kind", "seed", "steps", "experts", "max_vio_global", "score"];
    const cell = path.join(folder, "cells/0");
    mkdirSync(cell, { recursive: true });
    writeFileSync(path.join(cell, "summary.csv"), `${columns}\nmade,a,topk,1,2,4,0.5,0.25\n`);
    const all = columns.toSpliced(-1, 0, "task_loss");
    writeFileSync(path.join(folder, "summary.csv"), `${all},u\nmade,a,topk,1,2,4,0.5,,0.25,8\n`);
    expect(openResults(folder).runs).toMatchObject([{ folder: cell, rows: [0] }]);
  });

  it("finds the cell of each row of a sweep, and joins the seeds of a variant", () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    const results = openResults(folder);
    expect(results.parameters).toEqual(["routers.a.u"]);
    expect(results.runs.map(({ rows }) => rows)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
    ]);
    const variants = variantsOf(results);
    expect(variants.map(({ name }) => name)).toEqual(["a u=1", "b u=1", "a u=2", "b u=2"]);
    expect(variants[3].members.map(({ run }) => path.basename(run.folder))).toEqual(["2", "3"]);
    // Of b with u = 2: 10 u + seed + 1 for the seeds 7 and 8.
    expect(metricOf(results, variants[3], "max_vio_global")).toMatchObject({ mean: 28.5, count: 2 });
    expect(metricOf(results, variants[3], "score")).toBeNull();
  });

  it("names swept paths in full where their last keys are the same", () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a" }, ["1", "2"])], ["routers.a.u", "routers.b.u"]);
    expect(variantsOf(openResults(folder))[0].name).toBe("a routers.a.u=1 routers.b.u=2");
  });

  it("refuses what holds no finished results", () => {
    const folder = temporaryFolder();
    expect(() => openResults(path.join(folder, "absent"))).toThrow(/there is no such folder/);
    expect(() => openResults(folder)).toThrow(/has no summary\.csv/);
  });

  it("never takes cells for those of a summary that has other rows", () => {
    const folder = temporaryFolder();
    writeSweep(folder);
    writeSummary(path.join(folder, "cells", "3"), [summaryRow({ router: "a", seed: 8, max_vio_global: 29 })]);
    expect(() => openResults(folder)).toThrow(/rows are not those of its cells/);
    // A run in the folder of an earlier sweep leaves its cells behind.
    writeFileSync(path.join(folder, "run.json"), "{}");
    writeSummary(folder, [summaryRow({ router: "a", seed: 1 })]);
    expect(openResults(folder).runs).toMatchObject([{ folder, rows: [0] }]);
  });

  it("refuses a run.json that is none", () => {
    const folder = temporaryFolder();
    writeSummary(folder, [summaryRow({ router: "a" })]);
    writeFileSync(path.join(folder, "run.json"), "{");
    expect(() => openResults(folder)).toThrow(/run\.json: is not JSON/);
  });
});
