import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { withResultsFolder } from "../../../src/cli/output.ts";
import type { Results } from "../../../src/core/results/results.ts";
import { sweepCells } from "../../../src/core/scenario/sweep.ts";
import { openResults } from "../../../src/node/files/read-results.ts";
import { runSweep } from "../../../src/node/run/run-sweep.ts";
import { temporaryFolder } from "../../support/program.ts";
import { stagingIn } from "../../support/staging.ts";

const plain = {
  name: "joined",
  description: "Is a sweep the same computed and read?",
  steps: 4,
  tokens: 16,
  experts: 4,
  stream: { kind: "clusters" },
  routers: [{ kind: "topk" }, { kind: "alf-lb" }],
  sweep: { "routers.alf-lb.updateRate": [0.1, 0.01], tokens: [16, 24] },
  seeds: [1, 2],
};
const small = { kind: "training", width: 8, hidden: 8 };
// Some cells train, and some do not.
const mixed = { ...plain, sweep: { stream: [{ kind: "clusters" }, small] }, seeds: [3] };

const options = {
  scenarioFile: "joined.yaml",
  workers: 1,
  backend: "wasm",
  resume: false,
  onProgress: () => undefined,
} as const;

/** All that tables and recommendations are made of. */
async function contentsOf({ runs, summary, ...others }: Results): Promise<unknown> {
  const files = runs.map(({ folder, rows, files }) => {
    const { recordPath } = files;
    return {
      folder,
      rows,
      recordPath,
      record: files.record(),
      routeMs: files.routeMs(),
      dualRegret: files.dualRegret(),
    };
  });
  const stepColumns = await runs[0].files.stepColumns();
  return { ...others, columns: summary.columns, rows: summary.rows, files, stepColumns };
}

it.each([
  ["of sizes and options", plain],
  ["of which some cells train", mixed],
])("returns of a sweep %s what is read from its folder", async (_, written) => {
  const cells = await sweepCells(written, "joined.yaml", 100, ".");
  const folder = path.join(temporaryFolder(), "out");
  const sweep = (resume: boolean) =>
    withResultsFolder(folder, (staging) => runSweep(cells, staging, { ...options, resume }), {
      cells: cells.map((_, index) => index),
    });
  const computed = await sweep(false);
  expect(computed.summary.rows).toHaveLength(cells.length * 2);
  const read = await contentsOf(openResults(folder));
  expect(await contentsOf(computed)).toEqual(read);
  // Cells of an earlier sweep are read.
  expect(await contentsOf(await sweep(true))).toEqual(read);
});

it("makes its summary of what the cells return, and does not read their files again", async () => {
  const cells = await sweepCells(plain, "joined.yaml", 100, ".");
  const [staging, other] = [stagingIn(temporaryFolder()), stagingIn(temporaryFolder())];
  const spoilt = await runSweep(cells, staging, {
    ...options,
    onProgress({ cells: done }) {
      for (const name of ["summary.csv", "timing.csv"]) {
        if (done > 0) writeFileSync(path.join(staging.files, "cells", String(done - 1), name), "spoilt");
      }
    },
  });
  const whole = await runSweep(cells, other, options);
  expect(spoilt.summary).toEqual(whole.summary);
  expect(Array.from(spoilt.runs[0].files.routeMs().keys())).toEqual(["topk", "alf-lb"]);
  for (const name of ["summary.csv", "intervals.csv"]) {
    const [found, expected] = [staging, other].map(({ files }) => readFileSync(path.join(files, name), "utf8"));
    expect(found).toBe(expected);
  }
});
