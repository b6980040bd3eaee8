import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/core/input-error.ts";
import { loadPerRank } from "../../../src/core/metrics/load.ts";
import { placeByEplb } from "../../../src/core/placement/eplb.ts";
import { replicaCounts } from "../../../src/core/placement/placement.ts";
import { movedExperts } from "../../../src/core/placement/refitted.ts";
import { createPlacementRun } from "../../../src/core/simulation/placement-run.ts";
import { type ScenarioInput, simulate } from "../../../src/index.ts";

const scenario = {
  name: "placed",
  seed: 3,
  steps: 14,
  tokens: 64,
  experts: 8,
  topK: 2,
  stream: { kind: "drift", mode: "random-walk", rate: 0.2 },
  routers: [{ kind: "topk" }, { kind: "alf-lb", updateRate: 0.01 }],
  regret: { every: 0 },
} as const satisfies ScenarioInput;

const rule = { gpus: 4, slots: 12, method: "eplb", window: 3, interval: 5, moveCost: 0.25 } as const;

/** Loads of the GPUs: each slot has an even share of its expert's load. */
function gpuLoads(load: ArrayLike<number>, expertOfSlot: ArrayLike<number>): number[] {
  const slots = Array.from(expertOfSlot);
  const shares = slots.map((e) => load[e] / slots.filter((other) => other === e).length);
  return [0, 1, 2, 3].map((gpu) => shares.slice(3 * gpu, 3 * gpu + 3).reduce((a, b) => a + b));
}

describe("a scenario that places experts", () => {
  it("shares loads by the new numbers of replicas even if no GPU gets an expert that it lacked", () => {
    const fitted = { gpus: 2, nodes: 1, groups: 1, slots: 8, method: "eplb", window: 1, interval: 1 } as const;
    const run = createPlacementRun({ ...fitted, gap: 0, moveCost: 1 }, 2);
    const load = [14, 2];
    const rankLoad = new Float64Array(2);
    expect(Array.from(run.placed.rankLoad(load, rankLoad))).toEqual([8, 8]);
    run.observe(load);
    expect(run.advance()).toBe(0);
    // Both GPUs held both experts, so none gets one that it lacked; expert 0 has 7 of the 8 slots now.
    expect(Array.from(run.placed.rankLoad(load, rankLoad))).toEqual([8, 8]);
    expect(Array.from(replicaCounts(run.state.placement.expertOfSlot, 2))).toEqual([7, 1]);
    expect(run.placed.staleLoad(load)).toBe(8);
    expect(run.placed.moveTime).toBe(0);
  });

  it("measures ranks by the placement in force, fitted to the last loads of each router", async () => {
    const { runs } = await simulate({ ...scenario, placement: rule });
    const pairs = scenario.tokens * scenario.topK;
    for (const { steps, summary } of runs) {
      let inForce: Int32Array = Int32Array.from({ length: 12 }, (_, slot) => slot % 8);
      let first = inForce;
      let total = 0;
      for (const [n, step] of steps.entries()) {
        let moves = 0;
        if (n > 0 && n % 5 === 0) {
          const window = steps.slice(n - 3, n);
          const sum = Array.from({ length: 8 }, (_, e) => window.reduce((all, { load }) => all + load[e], 0));
          const next = placeByEplb(sum, { experts: 8, gpus: 4, slots: 12, nodes: 1, groups: 1 });
          moves = movedExperts(inForce, next, 4);
          inForce = next;
          if (n === 5) first = next;
        }
        total += moves;
        const loads = gpuLoads(step.load, inForce);
        const largest = Math.max(...loads);
        expect(step.moves).toBe(moves);
        expect(step.stepTime).toBeCloseTo((4 * largest) / pairs + 0.25 * moves, 12);
        expect(step.balancedness).toBeCloseTo(pairs / 4 / largest, 12);
        expect(step.rankMaxVio).toBeCloseTo((4 * largest) / pairs - 1, 12);
        expect(step.staleStepTime).toBeCloseTo((4 * Math.max(...gpuLoads(step.load, first))) / pairs, 12);
        const unplaced = loadPerRank(step.load, 4, new Float64Array(4));
        expect(step.unplacedStepTime).toBeCloseTo((4 * Math.max(...unplaced)) / pairs, 12);
        expect(step.stepTimeBound).toBeLessThanOrEqual(step.stepTime! - 0.25 * moves + 1e-12);
        expect(step.stepTimeBound).toBeGreaterThanOrEqual(1 - 1e-12);
        expect(step.ranksPerToken).toBeGreaterThanOrEqual(1);
        expect(step.ranksPerToken).toBeLessThanOrEqual(2);
        expect(step.nodesPerToken).toBe(1);
      }
      expect(total).toBeGreaterThan(0);
      expect(summary.moves).toBe(total);
    }
  });

  it("sends no token to two nodes if its groups stay on one", async () => {
    const placement = { gpus: 4, nodes: 2, groups: 2, window: 2, interval: 2 };
    // Of two groups of four experts, each token gets two experts of one.
    const routers = [{ kind: "grouped-topk", groups: 2, topGroups: 1 }] as const;
    const [{ summary }] = (await simulate({ ...scenario, routers, placement })).runs;
    expect(summary.nodesPerToken).toBe(1);
    expect(summary.ranksPerToken).toBeGreaterThan(1);
  });

  it("has the columns of placements only if it places", async () => {
    const [{ summary, steps }] = (await simulate({ ...scenario, ranks: 4 })).runs;
    expect(summary).toMatchObject({ moves: null, nodesPerToken: null, stepTimeBoundMean: null });
    expect(steps[0]).toMatchObject({ moves: null, nodesPerToken: null, unplacedStepTime: null });
    expect(summary.ranksPerToken).toBeGreaterThan(1);
    expect(summary.balancedness).toBeLessThan(1);
    const [one] = (await simulate(scenario)).runs;
    expect(one.summary).toMatchObject({ balancedness: null, ranksPerToken: null });
  });

  const refused: [placement: object, message: RegExp][] = [
    [{ gpus: 3, slots: 8 }, /placement\.slots: 8 slots do not divide evenly over 3 GPUs/],
    [{ gpus: 4, slots: 4 }, /placement\.slots: 4 slots for 8 experts/],
    [{ gpus: 4, nodes: 3 }, /placement\.nodes: 4 GPUs do not divide evenly over 3 nodes/],
    [{ gpus: 4, groups: 3 }, /placement\.groups: 8 experts do not divide evenly into 3 groups/],
    [{ gpus: 4, interval: 0 }, /placement\.interval/],
    [{ gpus: 4, windows: 3 }, /windows.*window/s],
    [{}, /placement\.gpus/],
  ];
  it.each(refused)("refuses %j", async (placement, message) => {
    const wrong = { ...scenario, placement } as unknown as ScenarioInput;
    await expect(simulate(wrong)).rejects.toThrow(InputError);
    await expect(simulate(wrong)).rejects.toThrow(message);
  });

  it("refuses ranks that are not its GPUs", async () => {
    await expect(simulate({ ...scenario, ranks: 2, placement: rule })).rejects.toThrow(/ranks: 2, but placement has 4/);
  });
});
