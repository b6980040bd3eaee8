import { readdirSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createStepFiles, joinStepFiles, sampledSteps } from "../../src/report/result-files.ts";
import { readCsv, temporaryFolder } from "../support/program.ts";

describe("the steps that loads.csv holds", () => {
  it("are all of a short run", () => {
    expect(Array.from(sampledSteps(4, 200))).toEqual([0, 1, 2, 3]);
    expect(Array.from(sampledSteps(1, 200))).toEqual([0]);
  });

  it("are evenly spaced in a long one, with the first and the last", () => {
    expect(Array.from(sampledSteps(9, 5))).toEqual([0, 2, 4, 6, 8]);
    expect(Array.from(sampledSteps(9, 1))).toEqual([8]);
  });

  it("are never more than asked for and never more than one apart in their spacing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 5000 }), fc.integer({ min: 2, max: 300 }), (steps, samples) => {
        const sampled = Array.from(sampledSteps(steps, samples));
        expect(sampled.length).toBe(Math.min(steps, samples));
        expect(sampled.at(-1)).toBe(steps - 1);
        const gaps = sampled.slice(1).map((step, i) => step - sampled[i]);
        expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

it("writes into steps.csv what is only known at the end, each figure on its step, and nothing where there is none", async () => {
  const folder = temporaryFolder();
  const source = { scenario: "made", router: "topk", kind: "topk", seed: 7 };
  // More steps than are read and written at a time.
  const steps = 1100;
  const metrics = {
    maxVio: 0.5,
    minVio: 0.25,
    loadCv: 0.1,
    loadGini: 0,
    loadEntropy: 1,
    idleFraction: 0,
    droppedFraction: 0,
    score: null,
    routerZ: 0,
    churn: 0,
    rankMaxVio: 0,
    stepTime: 1,
  };
  const files = createStepFiles(folder, 0, source, { steps, loadSamples: 1, trains: false });
  for (let step = 0; step < steps; step++) {
    files.write({ step, tokens: 4, load: Int32Array.of(2, 2), metrics, regret: null });
  }
  files.close();
  const every = 3;
  const regrets = Array.from({ length: Math.ceil(steps / every) }, (_, i) => ({
    regret: i / 7,
    regretCumulative: i + 0.5,
    optimumGap: 1 / (i + 1),
  }));
  const dualRegret = Float64Array.from({ length: steps }, (_, step) => -step / 3);
  await joinStepFiles(folder, [{ source, regrets, every, dualRegret }], false);
  const rows = readCsv(path.join(folder, "steps.csv"));
  expect(rows).toHaveLength(steps);
  for (const [step, row] of rows.entries()) {
    const regret = step % every === 0 ? regrets[step / every] : null;
    expect(row).toMatchObject({
      step: String(step),
      max_vio: "0.5",
      score: "",
      regret: regret === null ? "" : String(regret.regret),
      regret_cumulative: regret === null ? "" : String(regret.regretCumulative),
      optimum_gap: regret === null ? "" : String(regret.optimumGap),
      dual_regret_cumulative: step === 0 ? "0" : String(dualRegret[step]),
      solver_iterations: "",
    });
  }
  expect(readdirSync(folder).sort()).toEqual(["diagnostics.csv", "loads.csv", "steps.csv"]);
});
