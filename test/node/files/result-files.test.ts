import { readdirSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { loadMetrics } from "../../../src/core/metrics/step-metrics.ts";
import { createRandom } from "../../../src/core/random.ts";
import { createStratifiedSample } from "../../../src/core/stratified-sample.ts";
import { createStepFiles, joinStepFiles } from "../../../src/node/files/result-files.ts";
import { readCsv, temporaryFolder } from "../../support/program.ts";

it("writes the loads of steps that the seed draws, with the first and the last", async () => {
  const metrics = loadMetrics([2, 2], 2, 4, new Float64Array(1));
  const stepsOf = async (seed: number | null) => {
    const folder = temporaryFolder();
    const source = { scenario: "made", router: "topk", kind: "topk", seed };
    const files = createStepFiles(folder, 0, source, { steps: 200, loadSamples: 12, trains: false });
    for (let step = 0; step < 200; step++) files.write({ step, tokens: 2, load: [2, 2], metrics, regret: null });
    files.close();
    await joinStepFiles(folder, [{ source, regret: null, dualRegret: null }], false);
    const rows = readCsv(path.join(folder, "loads.csv"));
    return rows.filter(({ expert }) => expert === "0").map(({ step }) => Number(step));
  };
  const drawn = await stepsOf(7);
  expect(drawn).toHaveLength(12);
  expect([drawn[0], drawn.at(-1)]).toEqual([0, 199]);
  // Even steps would show a load of period 18 on one and the same phase.
  expect(new Set(drawn.slice(1, -1).map((step) => step % 18)).size).toBeGreaterThan(3);
  expect(await stepsOf(7)).toEqual(drawn);
  expect(await stepsOf(8)).not.toEqual(drawn);
  expect(await stepsOf(null)).toEqual(await stepsOf(null));
});

it("writes into steps.csv what is only known at the end, each figure on its step, and nothing where there is none", async () => {
  const folder = temporaryFolder();
  const source = { scenario: "made", router: "topk", kind: "topk", seed: 7 };
  // More steps than are read and written at a time.
  const steps = 1100;
  const metrics = { ...loadMetrics([2, 2], 2, 4, new Float64Array(1)), maxVio: 0.5, churn: 0 };
  const files = createStepFiles(folder, 0, source, { steps, loadSamples: 1, trains: false });
  for (let step = 0; step < steps; step++) {
    files.write({ step, tokens: 4, load: Int32Array.of(2, 2), metrics, regret: null });
  }
  files.close();
  const sample = createStratifiedSample(steps, 3, createRandom(1));
  const measured = Array.from({ length: sample.strata }, (_, i) => i);
  const series = {
    regret: measured.map((i) => i / 7),
    regretCumulative: measured.map((i) => i + 0.5),
    optimumGap: measured.map((i) => 1 / (i + 1)),
  };
  const dualRegret = Float64Array.from({ length: steps }, (_, step) => -step / 3);
  await joinStepFiles(folder, [{ source, regret: { sample, series }, dualRegret }], false);
  const rows = readCsv(path.join(folder, "steps.csv"));
  expect(rows).toHaveLength(steps);
  for (const [step, row] of rows.entries()) {
    const at = sample.stratumOf(step);
    expect(row).toMatchObject({
      step: String(step),
      max_vio: "0.5",
      score: "",
      regret: at < 0 ? "" : String(series.regret[at]),
      regret_cumulative: at < 0 ? "" : String(series.regretCumulative[at]),
      optimum_gap: at < 0 ? "" : String(series.optimumGap[at]),
      dual_regret_cumulative: step === 0 ? "0" : String(dualRegret[step]),
      solver_iterations: "",
    });
  }
  expect(readdirSync(folder).sort()).toEqual(["diagnostics.csv", "loads.csv", "steps.csv"]);
});
