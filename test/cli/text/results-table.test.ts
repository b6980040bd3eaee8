import { stripVTControlCharacters } from "node:util";
import pico from "picocolors";
import { describe, expect, it } from "vitest";
import {
  affinityLines,
  formatRunTable,
  formatVariantTable,
  type RunTableRow,
  runObject,
} from "../../../src/cli/text/results-table.ts";
import { leftOutSentence } from "../../../src/cli/text/table.ts";
import type { ScoreKind } from "../../../src/core/assignment.ts";
import { createRunSummary } from "../../../src/core/metrics/run-summary.ts";
import { variantsOf } from "../../../src/core/results/variants.ts";
import { madeSweep } from "../../support/made-sweep.ts";
import { madeRecords } from "../../support/trained-run.ts";

function rowOf(router: string, loss: number, trains: boolean): RunTableRow {
  const summary = createRunSummary({ experts: 8, ranks: 1, deadWindow: 4 });
  const maxVios: (number | null)[] = [];
  for (const record of madeRecords(
    { router, loss, skew: 0.1 },
    { routers: [], steps: 9, seed: 1, hasClusters: true },
  )) {
    const { training, metrics, ...untrained } = record;
    const plain = { ...metrics, routingEntropy: null, specialisation: null };
    summary.observe(trains ? record : { ...untrained, metrics: plain });
    maxVios.push(metrics.maxVio);
  }
  return {
    source: { scenario: "made", router, kind: router, seed: 1 },
    sizes: { steps: 9, tokens: 128, experts: 8, topK: 2 },
    summary: summary.summary(maxVios),
    timing: { routeMs: Float64Array.of(1, 2, 6), trainMs: trains ? Float64Array.of(30, 10, 20) : null, tokens: 384 },
    dualScores: null,
  };
}

const trained = [rowOf("topk", 0.5, true), rowOf("alf-lb", 0.25, true)];

it("shows the task loss of routers that were trained with, beside the router however narrow the table is", () => {
  const lines = formatRunTable(trained, { width: 40 }).text.split("\n");
  expect(lines[0]).toMatch(/^ router +task +MaxVio/);
  expect(lines[1]).toMatch(/^ +loss/);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(40);
  expect(lines[3]).toMatch(new RegExp(`^ topk +${trained[0].summary.taskLoss!.toPrecision(4).replace(/0+$/, "")} `));
});

it("fits eighty columns with it", () => {
  const { text } = formatRunTable(trained, { width: 80 });
  expect(Math.max(...text.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
  expect(text).toContain("idle");
});

it("names every column that it has no room for", () => {
  const whole = formatRunTable(trained);
  const narrow = formatRunTable(trained, { width: 80 });
  expect(whole.leftOut).toEqual([]);
  expect(leftOutSentence(whole)).toBeNull();
  expect(narrow.leftOut).toContain("MaxVio p95");
  const columns = ({ text }: { text: string }) => text.split("\n")[0].trim().split(/ {2,}/).length;
  expect(columns(narrow) + narrow.leftOut.length).toBe(columns(whole));
  expect(leftOutSentence(narrow)).toBe(
    `${narrow.leftOut.length} columns did not fit: ${narrow.leftOut.join(", ")}. --wide shows them; summary.csv and --json have them too.`,
  );
});

it("has no such column where nothing was trained", () => {
  expect(formatRunTable([rowOf("topk", 0.5, false)]).text).not.toMatch(/task|loss/);
});

it("names the columns of training to scripts where there are any, with the median of what it took", () => {
  const [row] = trained;
  expect(runObject(row)).toMatchObject({
    router: "topk",
    task_loss: row.summary.taskLoss,
    task_loss_mean: row.summary.taskLossMean,
    gate_gradient_norm_mean: row.summary.gateGradientNormMean,
    routing_entropy: row.summary.routingEntropy,
    specialisation: row.summary.specialisation,
    expert_similarity: row.summary.expertSimilarity,
    route_ms_median: 2,
    train_ms_median: 20,
  });
  const keys = Object.keys(runObject(rowOf("topk", 0.5, false)));
  expect(keys).not.toContain("task_loss");
  expect(keys.at(-1)).toBe("route_ms_median");
});

describe("regret in the table", () => {
  const withRegret = (router: string, regretMean: number, regretSe: number | null, dualScores: ScoreKind | null) => {
    const row = rowOf(router, 0.5, false);
    const dualRegretCumulative = dualScores === null ? null : regretMean;
    return { ...row, dualScores, summary: { ...row.summary, regretMean, regretSe, dualRegretCumulative } };
  };

  it("has its standard error beside it if it was sampled, within eighty columns", () => {
    const rows = [withRegret("topk", 0.02284, 0.00041, null), withRegret("ssr", 0.0062, 0.0004, "sigmoid")];
    const table = formatRunTable(rows, { width: 80 }).text;
    expect(table).toMatch(/mean ± s\.e\./);
    expect(table).toMatch(/ 0\.02284 ± 0\.00041 /);
    expect(table).toMatch(/ 0\.00620 ± 0\.00040 /);
    expect(Math.max(...table.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
    expect(formatRunTable([withRegret("topk", 0.02284, null, null)]).text).not.toContain("±");
  });

  it("is coloured by its mean, and dual regret only if all of it is in one affinity", () => {
    const colors = pico.createColors(true);
    const bestOf = (first: ScoreKind, second: ScoreKind) =>
      formatRunTable([withRegret("a", 0.75, 0.5, first), withRegret("b", 0.25, 0.5, second)], { colors }).text;
    const green = (text: string) => colors.green(text);
    expect(bestOf("sigmoid", "sigmoid")).toContain(green("0.25 ± 0.50"));
    expect(bestOf("sigmoid", "sigmoid")).toContain(green("0.25"));
    expect(bestOf("sigmoid", "softmax")).toContain(green("0.25 ± 0.50"));
    expect(bestOf("sigmoid", "softmax")).not.toContain(green("0.25"));
  });

  it("is said to be in one affinity, and dual regret in each router's own", () => {
    const rows = [withRegret("a", 1, null, "sigmoid"), withRegret("b", 1, null, null)];
    expect(affinityLines(rows, "softmax")).toEqual([
      "Score and regret are measured in softmax affinity, for all routers.",
      "Dual regret is in the router's own affinity: sigmoid.",
    ]);
    expect(affinityLines([...rows, withRegret("c", 1, null, "softmax")], "softmax")[1]).toBe(
      "Dual regret is in the router's own affinity: a sigmoid, c softmax.",
    );
    expect(affinityLines([rowOf("topk", 0.5, false)], "sigmoid")).toEqual([
      "Score is measured in sigmoid affinity, for all routers.",
    ]);
  });
});

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
    expect(headers(63)).toEqual(["router", "u", "MaxVio", "regret", "score", "MaxVio", "idle"]);
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
    const coloured = linesOf({ colors: pico.createColors(true) });
    expect(coloured.map((line) => stripVTControlCharacters(line).trimEnd())).toEqual(linesOf({}));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours are control characters
    const green = coloured.map((line) => Array.from(line.matchAll(/\u001b\[32m([^\u001b]*)/g), ([, text]) => text));
    expect(green.slice(3)).toEqual([["1", "0"], ["0.125", "0", "0"], [], ["0.125", "0", "0"]]);
  });
});
