import { describe, expect, it } from "vitest";
import { drawPictures } from "../../../../src/core/pictures/index.ts";
import type { ReportData } from "../../../../src/core/pictures/parts/report-data.ts";
import { dataOfRun, dataOfSweep, smallScenario } from "./small-runs.ts";

const balanced = { ...smallScenario, steps: 2, regret: { every: 0 } };
const roundRobin = [{ kind: "round-robin" }, { kind: "base" }];
/** More than are told apart. */
const many = Array.from({ length: 20 }, (_, i) => ({ kind: "random", label: `r${i}` }));

function findingOf(data: ReportData, id: string): string {
  return drawPictures(data).find((picture) => picture.id === id)!.finding;
}

describe("what is said below a picture of the loads", () => {
  it("is said of all where all are shown", async () => {
    const data = await dataOfRun({ ...balanced, routers: roundRobin });
    expect(findingOf(data, "loads")).toMatch(/^The share of idle experts, .* is 0 for all\.$/);
    expect(findingOf(data, "load-curves")).toMatch(/^The share of the pairs/);
  });

  it("is said of the first seed where there are several", async () => {
    const data = await dataOfSweep({ ...balanced, routers: roundRobin, seeds: [1, 2] });
    expect(findingOf(data, "loads")).toMatch(/^Of the first seed, the share of idle experts, .* is 0 for all\.$/);
    expect(findingOf(data, "load-curves")).toMatch(/^Of the first seed, the share of the pairs/);
    expect(findingOf(data, "rank-slowdown")).toMatch(/^The mean slowdown/);
  });

  it("is said of the variants shown where some are left out", async () => {
    const data = await dataOfRun({ ...balanced, routers: many });
    const shown = data.variants.filter(({ isFeatured }) => isFeatured).length;
    expect(shown).toBeLessThan(many.length);
    expect(findingOf(data, "loads")).toMatch(new RegExp(`^Of the ${shown} variants shown, the share .* 0 for all\\.$`));
    expect(findingOf(data, "rank-slowdown")).toMatch(new RegExp(`^Of the ${shown} variants shown, the mean slowdown`));
  });

  it("is said of both where both are so", async () => {
    const data = await dataOfSweep({ ...balanced, routers: many, seeds: [1, 2] });
    expect(findingOf(data, "loads")).toMatch(/^Of the first seed of the \d+ variants shown, the share of idle experts/);
  });
});
