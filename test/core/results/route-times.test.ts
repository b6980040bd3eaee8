import { rmSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { routeTimes, variantsOf } from "../../../src/core/results/variants.ts";
import { madeSweep } from "../../support/made-sweep.ts";

const sweep = () =>
  madeSweep(
    ["topK"],
    [
      {
        seed: 1,
        values: ["1"],
        rows: [
          { router: "a", routeMs: 1 },
          { router: "b", routeMs: 10 },
        ],
      },
      { seed: 2, values: ["1"], rows: [{ router: "a", routeMs: 2 }, { router: "b" }] },
      { seed: 1, values: ["2"], rows: [{ router: "a", routeMs: 7 }, { router: "b" }] },
      { seed: 2, values: ["2"], rows: [{ router: "a", routeMs: 8 }, { router: "b" }] },
    ],
  );

describe("routeTimes", () => {
  it("is the mean over a variant's seeds of the medians in timing.csv, of those there are", () => {
    const results = sweep();
    const variants = variantsOf(results);
    expect(variants.map(({ name }) => name)).toEqual(["a topK=1", "b topK=1", "a topK=2", "b topK=2"]);
    expect(routeTimes(results, variants)).toEqual([1.5, 10, 7.5, null]);
  });

  it("does without the times of a file that is missing", () => {
    const results = sweep();
    rmSync(path.join(results.folder, "cells/2/timing.csv"));
    expect(routeTimes(results, variantsOf(results))).toEqual([1.5, 10, 8, null]);
  });
});
