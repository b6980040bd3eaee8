import { expect, it } from "vitest";
import { featuredVariants } from "../../../../src/core/pictures/parts/report-data.ts";
import { variantsOf } from "../../../../src/core/results/variants.ts";
import { plainResults } from "./plain-results.ts";

/** Names of the variants that are featured of those with these MaxVios and regrets. */
function featured(metrics: readonly (readonly [maxVio: number, regret: number | ""])[]): string[] {
  const rows = metrics.map(([maxVio, regret], i) => ({
    router: `router ${i}`,
    kind: "topk",
    max_vio_batch_mean: maxVio,
    regret_mean: regret,
  }));
  const results = plainResults(rows);
  return featuredVariants(results, variantsOf(results)).map(({ name }) => name);
}

it("features all of few variants, in their order", () => {
  expect(featured(Array.from({ length: 14 }, (_, i) => [14 - i, 1]))).toEqual(
    Array.from({ length: 14 }, (_, i) => `router ${i}`),
  );
});

it("features of many the Pareto front first and then those of least MaxVio", () => {
  // Regret rises with MaxVio, so that router 1 dominates all but router 0, which has the least regret of all.
  const names = featured([[100, 0], ...Array.from({ length: 19 }, (_, i) => [i + 1, i + 1] as const)]);
  expect(names).toHaveLength(12);
  expect(names.slice(0, 2).toSorted()).toEqual(["router 0", "router 1"]);
  expect(names.slice(2)).toEqual(Array.from({ length: 10 }, (_, i) => `router ${i + 2}`));
});

it("features of many those of least MaxVio where there is no regret", () => {
  const names = featured(Array.from({ length: 20 }, (_, i) => [20 - i, ""]));
  expect(names).toEqual(Array.from({ length: 12 }, (_, i) => `router ${19 - i}`));
});

it("features one of those that are equal in both before another of them", () => {
  const rows = Array.from({ length: 16 }, (_, i) => ({
    router: i < 8 ? "topk" : `router ${i}`,
    kind: "topk",
    p: String(i),
    max_vio_batch_mean: i < 8 ? 1 : 1 + i,
  }));
  const results = plainResults(rows, ["p"]);
  const names = featuredVariants(results, variantsOf(results)).map(({ router }) => router);
  expect(names.slice(0, 9)).toEqual(["topk", ...Array.from({ length: 8 }, (_, i) => `router ${i + 8}`)]);
});
