import { stripVTControlCharacters } from "node:util";
import pc from "picocolors";
import { describe, expect, it } from "vitest";
import { formatVariantTable } from "../../../src/cli/text/variant-table.ts";
import { variantsOf } from "../../../src/core/results/variants.ts";
import { madeSweep } from "../../support/made-sweep.ts";

const results = madeSweep(
  ["routers.a.u"],
  [
    {
      seed: 1,
      values: ["0.5"],
      rows: [
        {
          router: "a",
          max_vio_batch_mean: 1,
          regret_mean: 0.25,
          score: 0.5,
          idle_fraction_mean: 0.125,
          max_vio_global: 0,
        },
        {
          router: "b",
          max_vio_batch_mean: 2,
          regret_mean: 0.125,
          score: 0.5,
          idle_fraction_mean: 0,
          max_vio_global: 0,
        },
      ],
    },
    {
      seed: 1,
      values: ["2"],
      rows: [
        {
          router: "a",
          max_vio_batch_mean: 3,
          regret_mean: 0.5,
          score: 0.5,
          idle_fraction_mean: 0.25,
          max_vio_global: 1,
        },
        {
          router: "b",
          max_vio_batch_mean: 2,
          regret_mean: 0.125,
          score: 0.5,
          idle_fraction_mean: 0,
          max_vio_global: 0,
        },
      ],
    },
  ],
);
const variants = variantsOf(results);
const routeMs = [1, null, 0.25, 12];

function linesOf(style: Parameters<typeof formatVariantTable>[3]): string[] {
  return formatVariantTable(results, variants, routeMs, style)
    .text.split("\n")
    .map((line) => line.trimEnd());
}

describe("formatVariantTable", () => {
  it("has a row per variant and no metric that applies to none, text to the left and numbers to the right", () => {
    expect(linesOf({})).toEqual([
      " router   u     MaxVio   regret   score   MaxVio   idle   route",
      "                 batch     mean              run      %      ms",
      "─".repeat(64),
      " a        0.5        1     0.25     0.5        0   12.5       1",
      " b        0.5        2    0.125     0.5        0      0       –",
      " a        2          3      0.5     0.5        1     25    0.25",
      " b        2          2    0.125     0.5        0      0      12",
    ]);
  });

  it("leaves out what has no room, the less important first, and never router, swept values and MaxVio", () => {
    const headers = (width: number) => linesOf({ width })[0].trim().split(/ {2,}/);
    expect(headers(64)).toEqual(["router", "u", "MaxVio", "regret", "score", "MaxVio", "idle", "route"]);
    expect(headers(63)).toEqual(["router", "u", "MaxVio", "regret", "score", "MaxVio", "route"]);
    expect(headers(45)).toEqual(["router", "u", "MaxVio", "regret", "score"]);
    expect(headers(1)).toEqual(["router", "u", "MaxVio"]);
    expect(formatVariantTable(results, variants, routeMs, { width: 45 }).leftOut).toEqual([
      "MaxVio run",
      "idle %",
      "route ms",
    ]);
    for (let width = 30; width < 80; width++) {
      for (const line of linesOf({ width })) expect(line.length).toBeLessThanOrEqual(width);
    }
  });

  it("colours the best of each metric, all that are equally good, and none where all are", () => {
    const coloured = linesOf({ colors: pc.createColors(true) });
    expect(coloured.map((line) => stripVTControlCharacters(line).trimEnd())).toEqual(linesOf({}));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours are control characters
    const green = coloured.map((line) => Array.from(line.matchAll(/\u001b\[32m([^\u001b]*)/g), ([, text]) => text));
    expect(green.slice(3)).toEqual([["1", "0"], ["0.125", "0", "0"], [], ["0.125", "0", "0"]]);
  });
});
