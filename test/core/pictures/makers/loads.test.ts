import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadPanel } from "../../../../src/core/pictures/makers/loads.ts";

describe("a panel of the load heatmap", () => {
  it("shows loads in percent of the mean of their step", () => {
    const panel = loadPanel({ step: [0, 9], experts: 4, load: [1, 2, 3, 2, 0, 0, 40, 0] }, 1, 300);
    expect(panel).toEqual({
      firstSteps: [0, 9],
      lastSteps: [0, 9],
      experts: 4,
      binSize: 1,
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

  it("sums the loads of consecutive steps where they are too many, and hides no idle step of an expert", () => {
    // 30 steps in 15 columns of 2 pixels. Expert 1 is idle on step 5 alone; expert 2 has 1 and 3 tokens in turn.
    const load = Array.from({ length: 30 }, (_, step) => [2, step === 5 ? 0 : 4, step % 2 === 0 ? 1 : 3]).flat();
    const step = Array.from({ length: 30 }, (_, i) => 10 * i);
    const panel = loadPanel({ step, experts: 3, load }, 1, 30);
    expect(panel.binSize).toBe(2);
    expect(panel.firstSteps).toEqual(Array.from({ length: 15 }, (_, i) => 20 * i));
    const columns = Array.from({ length: 15 }, (_, i) => panel.percent.slice(3 * i, 3 * i + 3));
    for (const [i, column] of columns.entries()) {
      // 4, 8 and 4 tokens: 75, 150 and 75 % of their mean; without the four of the idle step 4, 4 and 4.
      expect(column).toEqual(i === 2 ? [100, 0, 100] : [75, 150, 75]);
    }
  });

  it("keeps every step in one of columns that differ by a step at most", () => {
    const step = Array.from({ length: 200 }, (_, i) => i);
    const load = new Array<number>(200).fill(1);
    for (const idle of step) {
      const { percent, binSize, firstSteps } = loadPanel({ step, experts: 1, load: load.with(idle, 0) }, 1, 268);
      expect(percent.filter((value) => value === 0)).toHaveLength(1);
      const ends = [...firstSteps.slice(1), 200];
      for (const [column, end] of ends.entries()) {
        expect([binSize - 1, binSize]).toContain(end - firstSteps[column]);
      }
    }
  });

  it("has no cell where a step has no load at all", () => {
    expect(loadPanel({ step: [0], experts: 2, load: [0, 0] }, 1, 300).percent).toEqual([0, 0]);
  });

  it("keeps within 40000 cells in all, at least 12 columns from the first step on", () => {
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
        expect(panel.firstSteps.length).toBeGreaterThanOrEqual(Math.min(12, steps));
        // 14 panels of 256 rows and 12 columns are a few more.
        expect(panels * rows * panel.firstSteps.length).toBeLessThanOrEqual(Math.max(40_000, panels * rows * 12));
        expect(panel.firstSteps[0]).toBe(0);
        expect(new Set(panel.firstSteps).size).toBe(panel.firstSteps.length);
        expect(panel.percent).toEqual(new Array(panel.firstSteps.length * rows).fill(100));
      }),
      { seed: 1, numRuns: 40 },
    );
  });
});
