import { describe, expect, it } from "vitest";
import {
  type ComparedCell,
  type ComparedMetric,
  changeSentences,
  nounOf,
} from "../../../src/core/results/comparison.ts";
import { comparisonOf } from "./two-folders.ts";

const { folders } = comparisonOf({});

/** A metric of which lower is better, with each router's value before and after. */
function metricOf(values: Readonly<Record<string, readonly [before: number, after: number]>>): ComparedMetric {
  return {
    column: "max_vio_batch_mean",
    label: "MaxVio of a batch, mean",
    better: "lower",
    isMain: true,
    rows: Object.entries(values).map(([router, [before, after]]) => {
      const difference = after - before;
      const direction = difference === 0 ? null : difference < 0 ? "better" : "worse";
      const cell: ComparedCell = { mean: before, halfWidth: null, count: 1, change: null };
      const change = { difference, halfWidth: null, isClear: null, pairedSeeds: null, direction } as const;
      return { router, cells: [cell, { ...cell, mean: after, change }] };
    }),
  };
}

describe("the sentences on what changed", () => {
  it("say for whom a metric got better and for whom worse, and where it changed most", () => {
    expect(changeSentences(metricOf({ a: [2, 1], b: [1, 1.5], c: [3, 3], d: [0, 0.25] }), folders)).toEqual([
      "From before to after, MaxVio of a batch gets better for a and gets worse for b and d, most for a: from 2 to 1.",
    ]);
    expect(changeSentences(metricOf({ a: [2, 1], b: [1, 1] }), folders)).toEqual([
      "From before to after, MaxVio of a batch gets better for a: from 2 to 1.",
    ]);
  });

  it("say that nothing changed, and count the routers where there are many", () => {
    expect(changeSentences(metricOf({ a: [1, 1], b: [2, 2] }), folders)).toEqual([
      "From before to after, MaxVio of a batch stays the same for every router.",
    ]);
    const many = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`r${i}`, [i + 2, 1] as const]));
    expect(changeSentences(metricOf(many), folders)).toEqual([
      "From before to after, MaxVio of a batch gets better for all 6 routers, most for r5: from 7 to 1.",
    ]);
  });

  it("say nothing of folders that share no router", () => {
    expect(changeSentences(comparisonOf({ topk: [[1, null], null] }).metrics[0], folders)).toEqual([]);
  });
});

it("calls what is compared scenarios, recordings or, of both, inputs", () => {
  const of = (...sources: ("scenario" | "measurement" | null)[]) =>
    nounOf(sources.map((source) => ({ folder: "f", name: "f", source })));
  expect(of("scenario", "scenario")).toBe("scenarios");
  expect(of("measurement", "measurement")).toBe("recordings");
  expect(of("measurement", null)).toBe("recordings");
  expect(of("measurement", "scenario")).toBe("inputs");
  expect(of(null, null)).toBe("scenarios");
});
