import { expect, it } from "vitest";
import { recommend } from "../../../src/core/results/recommendation.ts";
import { recommendationLines, recommendationText } from "../../../src/core/results/recommendation-text.ts";
import type { Variant } from "../../../src/core/results/variants.ts";

/** Lines for variants of which each is `[name, MaxVio, regret]`, of one seed. */
function linesOf(
  variants: readonly (readonly [name: string, maxVio: number, regret: number | null])[],
  limit: number,
  swept: readonly string[],
  halfWidth: number | null = null,
): string[] {
  const all = variants.map(([name, maxVio, regret]) => {
    const variant: Variant = { name, router: name.split(" ")[0], kind: "topk", parameters: {}, members: [] };
    const interval = (mean: number) => ({ mean, halfWidth, count: 1 });
    return {
      variant,
      candidate: { maxVio: interval(maxVio), price: regret === null ? null : interval(regret), routeMs: 2 },
    };
  });
  const recommendation = recommend(
    all.map(({ candidate }) => candidate),
    limit,
  );
  return recommendationLines(
    recommendationText(all, recommendation, limit, "regret", swept, ({ name }) => `run ${name}`),
  );
}

it("names the Pareto-best by rising MaxVio, and the cheapest with the command that runs it again", () => {
  expect(
    linesOf(
      [
        ["a u=1", 0.4, 0.01],
        ["a u=2", 0.2, 0.03],
        ["b u=1", 0.5, 0.02],
      ],
      0.5,
      ["routers.a.u"],
    ),
  ).toEqual([
    "Pareto-best of MaxVio and regret, means over batches:",
    "  a u=2: MaxVio 0.2, regret 0.03, 2 ms per batch",
    "  a u=1: MaxVio 0.4, regret 0.01, 2 ms per batch",
    "Cheapest that keeps MaxVio ≤ 0.5:",
    "  a u=1: MaxVio 0.4, regret 0.01, 2 ms per batch",
    "  run a u=1",
  ]);
});

it("names the nearest where none keeps the limit, and says so where regret is not known", () => {
  expect(
    linesOf(
      [
        ["a", 0.9, null],
        ["b", 0.7, null],
      ],
      0.5,
      [],
      0.1,
    ),
  ).toEqual([
    "Regret was not computed, so there is no Pareto front of MaxVio and regret.",
    "None keeps MaxVio ≤ 0.5, including half width. The nearest, at 0.8:",
    "  b: MaxVio 0.70 ± 0.10, 2 ms per batch",
    "  run b",
  ]);
});

it("names once what came to the same, as a router does that has no part in what is swept", () => {
  const lines = linesOf(
    [
      ["a u=1", 0.2, 0.1],
      ["a u=2", 0.2, 0.1],
      ["b u=1", 0.2, 0.1],
    ],
    1,
    ["routers.b.u"],
  );
  expect(lines.filter((line) => line.startsWith("  ")).map((line) => line.split(":")[0])).toEqual([
    "  a u=1",
    "  b u=1",
    "  a u=1",
    "  run a u=1",
  ]);
});

it.each([
  [["routers.a.u", "routers[0].v", "routers"], null],
  [["routers.a.u", "topK"], "Not only routers differ: topK is swept too, so their figures may not be comparable."],
  [
    ["topK", "stream.skew"],
    "Not only routers differ: topK, stream.skew are swept too, so their figures may not be comparable.",
  ],
])("warns where more than routers is swept: %j", (swept, warning) => {
  const last = linesOf([["a", 0.2, 0.1]], 1, swept).at(-1);
  expect(last).toBe(warning ?? "  run a");
});

it("shows no control character of a name", () => {
  expect(linesOf([["a\u001b[2J\nb", 0.2, 0.1]], 1, [])[1]).toMatch(/^ {2}a\\u\{1b\}\[2J\\u\{a\}b: /);
});
