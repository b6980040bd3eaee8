import { describe, expect, it } from "vitest";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import type { Scenario } from "../../../src/core/scenario/scenario.ts";
import { measuredSteps } from "../../../src/core/simulation/optima.ts";
import { simulateRouters } from "../../support/simulate-routers.ts";

const sizes = { name: "sampled", seed: 4, steps: 403, tokens: 48, experts: 8, topK: 2 };
const routers = [
  { kind: "topk" },
  { kind: "alf-lb", updateEvery: 10 },
  { kind: "ssr", select: { mode: "every", n: 10 }, cost: "logits", epsilon: 1 },
];

function scenarioOf(fields: object): Promise<Scenario> {
  return resolveScenario({ ...sizes, stream: { kind: "clusters" }, routers, ...fields }, "sampled.yaml");
}

async function resultsOf(fields: object, only?: number) {
  const scenario = await scenarioOf(fields);
  const chosen = only === undefined ? scenario.routers : [scenario.routers[only]];
  return simulateRouters(scenario, { routers: chosen });
}

function drawnBy(scenario: Scenario): number[] {
  const sample = measuredSteps(scenario);
  return Array.from({ length: sample.strata }, (_, stratum) => sample.drawnFrom(stratum));
}

describe("regret on sampled steps", () => {
  it.each([
    ["a router, and an update, of the sample's own period", { stream: { kind: "clusters" } }],
    ["a stream of the sample's own period", { stream: { kind: "drift", mode: "periodic", period: 10 } }],
  ])("estimates the mean over all steps, with %s", async (_, fields) => {
    const every = await resultsOf({ ...fields, regret: { every: 1 } });
    for (const { summary } of every) expect(summary.regretSe).toBeNull();
    for (const seedOfSample of [1, 2, 3]) {
      const scenario = await scenarioOf({ ...fields, seed: seedOfSample, regret: { every: 10 } });
      const steps = drawnBy(scenario);
      expect(steps).toHaveLength(41);
      expect(new Set(steps.map((step) => step % 10)).size).toBeGreaterThan(5);
    }
    const sampled = await resultsOf({ ...fields, regret: { every: 10 } });
    const steps = drawnBy(await scenarioOf({ ...fields, regret: { every: 10 } }));
    for (const [index, { summary, regrets }] of sampled.entries()) {
      // The same steps measured by both have the same regret.
      expect(Array.from(regrets.regret)).toEqual(steps.map((step) => every[index].regrets.regret[step]));
      const error = Math.abs(summary.regretMean! - every[index].summary.regretMean!);
      expect(summary.regretSe).toBeGreaterThan(0);
      expect(error / summary.regretSe!).toBeLessThan(3);
    }
  });

  it("measured ssr only where its plan ran when every n-th step was taken", async () => {
    const [ssr] = await resultsOf({ regret: { every: 1 } }, 2);
    const onPlans = Array.from(ssr.regrets.regret).filter((_, step) => step % 10 === 0);
    const mean = onPlans.reduce((sum, regret) => sum + regret) / onPlans.length;
    expect(mean).toBeLessThan(0.7 * ssr.summary.regretMean!);
  });

  it("is on steps that follow from the seed, n and the steps alone", async () => {
    const drawn = drawnBy(await scenarioOf({ regret: { every: 10 } }));
    expect(drawnBy(await scenarioOf({ regret: { every: 10 }, routers: [{ kind: "random" }], tokens: 7 }))).toEqual(
      drawn,
    );
    expect(drawnBy(await scenarioOf({ regret: { every: 10 }, seed: 5 }))).not.toEqual(drawn);
    expect(drawnBy(await scenarioOf({ regret: { every: 10 }, steps: 800 })).slice(0, 40)).toEqual(drawn.slice(0, 40));
    expect(drawnBy(await scenarioOf({ regret: { every: 0 } }))).toEqual([]);
    expect(drawnBy(await scenarioOf({ regret: { every: 1 }, steps: 3 }))).toEqual([0, 1, 2]);
    expect(drawnBy(await scenarioOf({ regret: { every: 500 }, steps: 3 }))).toHaveLength(1);
  });
});
