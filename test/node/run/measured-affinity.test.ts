import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { projectPath } from "../../support/program.ts";
import { simulateRouters } from "../../support/simulate-routers.ts";

const recorded = projectPath("../shared/cases/01/mixz.npy");

async function summariesOf(fields: object) {
  const sizes = { name: "mix", steps: 20, tokens: 256, experts: 16, topK: 2 };
  const routers = [{ kind: "topk" }, { kind: "alf-lb" }];
  const scenario = await resolveScenario({ ...sizes, stream: { kind: "clusters" }, routers, ...fields }, "mix.yaml");
  const results = await simulateRouters(scenario);
  return { scenario, results, summaries: results.map(({ summary }) => summary) };
}

describe("the affinity in which routers are measured", () => {
  it("is measure.scores, else the scenario's, else softmax, whatever the routers select by", async () => {
    for (const [fields, measured, selecting] of [
      [{}, "softmax", ["softmax", "sigmoid"]],
      [{ scores: "sigmoid" }, "sigmoid", ["sigmoid", "sigmoid"]],
      [{ measure: {} }, "softmax", ["softmax", "sigmoid"]],
      [{ scores: "sigmoid", measure: { scores: "softmax" } }, "softmax", ["sigmoid", "sigmoid"]],
      [{ measure: { scores: "sigmoid" } }, "sigmoid", ["softmax", "sigmoid"]],
    ] as const) {
      const { scenario } = await summariesOf({ ...fields, steps: 1, tokens: 8 });
      expect(scenario.measure.scores).toBe(measured);
      expect(scenario.routers.map(({ scores }) => scores)).toEqual(selecting);
    }
  });

  // Values of numpy and HiGHS on the recorded logits of `clusters`.
  it.skipIf(!existsSync(recorded)).each([
    { scores: "softmax", topk: [0.2659, 0.02716], alfLb: [0.26545, 0.024143] },
    { scores: "sigmoid", topk: [0.88452, 0.254855], alfLb: [0.88425, 0.2371] },
  ])("gives topk and alf-lb score and regret in one unit: $scores", async ({ scores, topk, alfLb }) => {
    const stream = { kind: "trace", path: recorded };
    for (const fields of [{ measure: { scores }, stream }, { measure: { scores } }]) {
      const { summaries } = await summariesOf(fields);
      for (const [index, [score, regret]] of [topk, alfLb].entries()) {
        expect(summaries[index].score).toBeCloseTo(score, 5);
        expect(summaries[index].regretMean).toBeCloseTo(regret, 6);
      }
      expect(summaries[1].regretMean).toBeLessThan(summaries[0].regretMean!);
      expect(summaries[1].maxVioBatchMean).toBeLessThan(summaries[0].maxVioBatchMean!);
    }
  });

  it("does not change what a router does, nor its dual regret", async () => {
    const [bySoftmax, bySigmoid] = await Promise.all(
      ["softmax", "sigmoid"].map((scores) => summariesOf({ measure: { scores }, tokens: 64 })),
    );
    for (const [index, { summary, dualRegret }] of bySoftmax.results.entries()) {
      const other = bySigmoid.results[index];
      expect(other.summary.maxVioBatches).toEqual(summary.maxVioBatches);
      expect(other.dualRegret).toEqual(dualRegret);
      expect(other.summary.score).not.toBe(summary.score);
      expect(other.summary.regretMean).not.toBe(summary.regretMean);
    }
  });

  it("takes the optimum from base only if base maximises the measured affinity", async () => {
    for (const base of ["softmax", "sigmoid"] as const) {
      const routers = [{ kind: "topk" }, { kind: "base", scores: base }];
      const { summaries } = await summariesOf({ routers, tokens: 64 });
      const { summaries: alone } = await summariesOf({ routers: [{ kind: "topk" }], tokens: 64 });
      expect(summaries[0].regretMean).toBe(alone[0].regretMean);
      if (base === "softmax") expect(summaries[1].regretMean).toBe(0);
      else expect(summaries[1].regretMean).toBeGreaterThan(0);
    }
  });
});
