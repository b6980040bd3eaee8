import { describe, expect, it } from "vitest";
import { drawPictures } from "../../../../src/core/pictures/index.ts";
import { rangeSentence } from "../../../../src/core/pictures/parts/findings.ts";
import type { ReportData } from "../../../../src/core/pictures/parts/report-data.ts";
import { dataOfRun, dataOfSweep, smallScenario } from "./small-runs.ts";

it("says for whom a value is lowest and highest, and names all who share it", () => {
  const values = [
    { name: "a", value: 2 },
    { name: "b", value: 0.12345 },
    { name: "c", value: 2 },
  ];
  expect(rangeSentence("It", values)).toBe("It is lowest for b (0.123) and highest for a and c (2).");
});

it("compares nothing where all are equal or there is one", () => {
  expect(rangeSentence("It", [{ name: "a", value: 1 }])).toBe("It is 1 for a.");
  const equal = ["a", "b"].map((name) => ({ name, value: 0 }));
  expect(rangeSentence("It", equal)).toBe("It is 0 for all.");
});

describe("notes", () => {
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
      expect(findingOf(data, "loads")).toMatch(/^For the first seed, the share of idle experts, .* is 0 for all\.$/);
      expect(findingOf(data, "load-curves")).toMatch(/^For the first seed, the share of the pairs/);
      expect(findingOf(data, "rank-slowdown")).toMatch(/^The mean slowdown/);
    });

    it("is said of the variants shown where some are left out", async () => {
      const data = await dataOfRun({ ...balanced, routers: many });
      const shown = data.variants.filter(({ isFeatured }) => isFeatured).length;
      expect(shown).toBeLessThan(many.length);
      expect(findingOf(data, "loads")).toMatch(
        new RegExp(`^For the ${shown} variants shown, the share .* 0 for all\\.$`),
      );
      expect(findingOf(data, "rank-slowdown")).toMatch(
        new RegExp(`^For the ${shown} variants shown, the mean slowdown`),
      );
    });

    it("is said of both where both are so", async () => {
      const data = await dataOfSweep({ ...balanced, routers: many, seeds: [1, 2] });
      expect(findingOf(data, "loads")).toMatch(
        /^For the first seed of the \d+ variants shown, the share of idle experts/,
      );
    });
  });

  describe("what is said below the pictures over the steps", () => {
    it("is of the measured steps alone where regret is sampled", async () => {
      const sampled = findingOf(await dataOfRun({ ...smallScenario, steps: 6, regret: { every: 3 } }), "regret");
      expect(sampled).toMatch(/^Cumulative regret at the end, a sum over the 2 measured steps of 6, is lowest for /);
      const whole = findingOf(await dataOfRun({ ...smallScenario, steps: 6, regret: { every: 1 } }), "regret");
      expect(whole).toMatch(/^Cumulative regret at the end is lowest for /);
    });

    it("leaves out how many steps were measured where that differs", async () => {
      const swept = { ...smallScenario, steps: 6, sweep: { "regret.every": [1, 3] } };
      expect(findingOf(await dataOfSweep(swept), "regret")).toMatch(
        /^Cumulative regret .* the measured steps only, is /,
      );
    });

    it("gives the share of idle experts in the unit of the picture of loads", async () => {
      const data = await dataOfRun({ ...balanced, tokens: 2, topK: 1, routers: roundRobin });
      // Two pairs a step leave 6 of 8 experts idle at least.
      expect(findingOf(data, "idle")).toMatch(
        /^The share of idle experts, in percent, mean over the steps, is 75 for all/,
      );
      expect(findingOf(data, "loads")).toMatch(/ is 75 for all\.$/);
    });
  });
});
