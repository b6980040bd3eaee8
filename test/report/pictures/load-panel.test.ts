import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadPanel } from "../../../src/report/pictures/load-panel.ts";

describe("a panel of the load heatmap", () => {
  it("shows loads in percent of the mean of their step", () => {
    const panel = loadPanel({ step: [0, 9], experts: 4, load: [1, 2, 3, 2, 0, 0, 40, 0] }, 1, 300);
    expect(panel).toEqual({
      steps: [0, 9],
      firstExperts: [0, 1, 2, 3],
      groupSize: 1,
      percent: [50, 100, 150, 100, 0, 0, 400, 0],
    });
  });

  it("never rounds a small load down to idleness", () => {
    const panel = loadPanel({ step: [0], experts: 2, load: [1, 999] }, 1, 300);
    expect(panel.percent).toEqual([1, 200]);
  });

  it("takes more than 256 experts together, and counts a group as idle only when all of it is", () => {
    const experts = 514;
    const load = new Array<number>(experts).fill(2);
    load[0] = 0;
    for (const expert of [3, 4, 5]) load[expert] = 0;
    const panel = loadPanel({ step: [0], experts, load }, 1, 300);
    expect(panel.groupSize).toBe(3);
    expect(panel.firstExperts.length).toBe(172);
    expect(panel.firstExperts.slice(0, 3)).toEqual([0, 3, 6]);
    expect(panel.percent[0]).toBeCloseTo(67, 0);
    expect(panel.percent[1]).toBe(0);
    expect(panel.percent[171]).toBeGreaterThan(0);
  });

  it("has no cell where a step has no load at all", () => {
    expect(loadPanel({ step: [0], experts: 2, load: [0, 0] }, 1, 300).percent).toEqual([0, 0]);
  });

  it("keeps within 40000 cells in all, at least 12 steps, the first and the last among them", () => {
    const sizes = fc.record({
      experts: fc.integer({ min: 1, max: 600 }),
      steps: fc.integer({ min: 1, max: 400 }),
      panels: fc.integer({ min: 1, max: 14 }),
    });
    fc.assert(
      fc.property(sizes, ({ experts, steps, panels }) => {
        const step = Array.from({ length: steps }, (_, i) => 3 * i);
        const load = new Array<number>(steps * experts).fill(1);
        const panel = loadPanel({ step, experts, load }, panels, 268);
        const rows = panel.firstExperts.length;
        expect(rows).toBeLessThanOrEqual(256);
        expect(panel.steps.length).toBeGreaterThanOrEqual(Math.min(12, steps));
        // 14 panels of 256 rows and 12 steps are a few more.
        expect(panels * rows * panel.steps.length).toBeLessThanOrEqual(Math.max(40_000, panels * rows * 12));
        expect(panel.steps[0]).toBe(0);
        expect(panel.steps.at(-1)).toBe(step.at(-1));
        expect(new Set(panel.steps).size).toBe(panel.steps.length);
        expect(panel.percent).toEqual(new Array(panel.steps.length * rows).fill(100));
      }),
      { seed: 1, numRuns: 40 },
    );
  });
});
