import { describe, expect, it } from "vitest";
import { type RouterRun, simulate } from "../../../src/index.ts";

// A capacity of ⌈1.25 · 512 · 2 / 16⌉ = 80 pairs: 320 on the four experts of a rank, of 256 in perfect balance.
const fields = { steps: 20, tokens: 512, experts: 16, topK: 2, ranks: 4, capacityFactor: 1.25 } as const;

async function runWith(changes: object): Promise<RouterRun> {
  const stream = { kind: "clusters" } as const;
  const routers = [{ kind: "topk" } as const];
  const { runs } = await simulate({ name: "drop", ...fields, stream, routers, regret: { every: 0 }, ...changes });
  return runs[0];
}

describe("a capacity policy", () => {
  it("bounds the slowest rank by the capacity, and leaves the metrics of experts as they are", async () => {
    const none = await runWith({});
    expect(none.summary.stepTimeMean).toBeGreaterThan(1.25);
    for (const capacity of ["drop", "drop-position", "reroute"] as const) {
      const { summary, steps } = await runWith({ capacity });
      for (const [index, { stepTime, load }] of steps.entries()) {
        expect(stepTime).toBeLessThanOrEqual(1.25);
        expect(load).toEqual(none.steps[index].load);
      }
      for (const column of ["maxVioGlobal", "loadCv", "droppedFraction", "idleFractionMean"] as const) {
        expect(summary[column]).toBe(none.summary[column]);
      }
    }
  });

  it("measures ranks by what each expert keeps", async () => {
    const { steps } = await runWith({ capacity: "drop" });
    for (const { load, stepTime, rankMaxVio } of steps) {
      const ranks = [0, 4, 8, 12].map((first) =>
        load.slice(first, first + 4).reduce((sum, pairs) => sum + Math.min(pairs, 80), 0),
      );
      const most = Math.max(...ranks);
      expect(stepTime).toBeCloseTo(most / 256, 12);
      expect(rankMaxVio).toBeCloseTo((4 * most) / ranks.reduce((sum, pairs) => sum + pairs, 0) - 1, 12);
    }
  });

  it("keeps every pair by rerouting while there is room", async () => {
    const { summary } = await runWith({ capacity: "reroute" });
    const dropping = await runWith({ capacity: "drop", dropBy: "scores" });
    expect(summary.score).toBeGreaterThan(dropping.summary.score!);
    // With room for all, 1024 pairs of 1280 places, the ranks have all of them.
    expect(summary.rankMaxVio).toBeCloseTo(summary.stepTimeMean! - 1, 12);
    const one = await runWith({ capacity: "reroute", rerouteDepth: 1 });
    expect(one.summary.score).toBeLessThan(summary.score!);
    expect(one.summary.score).toBeGreaterThan(dropping.summary.score!);
  });

  it("can be smaller than an equal share", async () => {
    const { summary, steps } = await runWith({ capacityFactor: 0.5, capacity: "drop" });
    expect(summary.droppedFraction).toBeGreaterThanOrEqual(0.5);
    for (const { stepTime } of steps) expect(stepTime).toBeLessThanOrEqual(0.5);
  });
});

it("counts the tokens that no expert of expert choice takes", async () => {
  const { summary, steps } = await runWith({ routers: [{ kind: "expert-choice" }], capacityFactor: 0.5 });
  expect(summary.unroutedFraction).toBeGreaterThan(0);
  expect(summary.unroutedFraction).toBeLessThan(1);
  const mean = steps.reduce((sum, { unroutedFraction }) => sum + unroutedFraction!, 0) / steps.length;
  expect(summary.unroutedFraction).toBeCloseTo(mean, 12);
  expect((await runWith({})).summary.unroutedFraction).toBe(0);
});

it("takes a dead window longer than the run for the whole run", async () => {
  const collapsed = { stream: { kind: "gaussian", skew: 30 }, topK: 1, steps: 3 };
  const all = await runWith({ ...collapsed, deadWindow: 3 });
  const longer = await runWith({ ...collapsed, deadWindow: 50 });
  expect(longer.summary.deadExperts).toBe(all.summary.deadExperts);
  expect(longer.summary.deadExperts).toBeGreaterThan(0);
});
