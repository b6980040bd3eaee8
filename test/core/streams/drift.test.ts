import { expect, test } from "vitest";
import { clustersKind } from "../../../src/core/streams/clusters.ts";
import { driftKind } from "../../../src/core/streams/drift.ts";
import { countRows, distance, generate, meanRow } from "./stream-context.ts";

const modes = ["random-walk", "shift", "periodic"];
const parts = ["centres", "weights"];
const combinations = modes.flatMap((mode) => parts.map((moves) => [mode, moves] as const));

function problemPaths(options: Record<string, unknown>): string[] {
  const problems = driftKind.check!(driftKind.options.parse(options), { steps: 10, tokens: 4, experts: 4 });
  return problems.map(({ path }) => path.join("."));
}

test.each(combinations)("%s of %s starts as the clusters stream of the same seed", async (mode, moves) => {
  const drifting = await generate(driftKind, { mode, moves, steps: [2], period: 4 });
  const still = await generate(clustersKind, {});
  expect(drifting[0]).toEqual(still[0]);
  expect(drifting[2]).not.toEqual(still[2]);
});

test("a random walk of centres with rate 0 stays the clusters stream", async () => {
  expect(await generate(driftKind, { rate: 0 })).toEqual(await generate(clustersKind, {}));
});

test("a random walk moves a cluster's logits by independent amounts each step", async () => {
  const experts = 8;
  const options = { clusters: 1, spread: 0, dimension: 1, rate: 0.1 };
  const rows = (await generate(driftKind, options, { steps: 2001, tokens: 1, experts })).map((row) => row[0]);
  const start = (await generate(driftKind, { ...options, rate: 0 }, { steps: 1, tokens: 1, experts }))[0][0];
  expect(rows[0]).toBe(start);
  const moves = rows.slice(1).map((logit, step) => logit - rows[step]);
  const variance = moves.reduce((sum, move) => sum + move ** 2, 0) / moves.length;
  const covariance = moves.slice(1).reduce((sum, move, i) => sum + move * moves[i], 0) / moves.length;
  // 5 standard errors of a correlation of 2000 pairs.
  expect(Math.abs(covariance / variance)).toBeLessThan(5 / Math.sqrt(2000));
});

test.each(parts)("a shift of %s shows at the named steps and at no other", async (moves) => {
  const experts = 32;
  const options = { mode: "shift", moves, steps: [9, 4], clusters: 4, exponent: 2 };
  const batches = await generate(driftKind, options, { steps: 12, tokens: 2000, experts });
  const means = batches.map((logits) => meanRow(logits, experts));
  for (let step = 1; step < 12; step++) {
    const moved = distance(means[step], means[step - 1]);
    // A mean logit has a standard error of at most √(scale² · 1.1 / 2000) = 0.035, a difference of two 0.05. A shift
    // moves it by about scale times the root of the summed squared changes of weight, about 1.
    if (step === 4 || step === 9) expect(moved, `step ${step}`).toBeGreaterThan(0.4);
    else expect(moved, `step ${step}`).toBeLessThan(0.15);
  }
});

test("periodic centres are the same after a period, to the bit, and elsewhere between", async () => {
  const options = { mode: "periodic", period: 6, clusters: 3, exponent: 0, spread: 0 };
  const batches = await generate(driftKind, options, { steps: 14, tokens: 100, experts: 8 });
  const rows = batches.map((logits) => [...countRows([logits], 8).keys()].toSorted());
  for (let step = 0; step < 14; step++) {
    expect(rows[step]).toHaveLength(3);
    if (step >= 6) expect(rows[step]).toEqual(rows[step - 6]);
    for (let other = Math.max(0, step - 5); other < step; other++) expect(rows[step]).not.toEqual(rows[other]);
  }
});

test("periodic weights make the batches' means agree after a period and differ after half of it", async () => {
  const experts = 32;
  const options = { mode: "periodic", moves: "weights", period: 8, clusters: 4, exponent: 2 };
  const batches = await generate(driftKind, options, { steps: 17, tokens: 2000, experts });
  const means = batches.map((logits) => meanRow(logits, experts));
  // Standard errors as for the shift above.
  for (const step of [0, 3, 8]) expect(distance(means[step], means[step + 8])).toBeLessThan(0.15);
  for (const step of [0, 8]) expect(distance(means[step], means[step + 4])).toBeGreaterThan(0.4);
});

test("problems against the shape name the field", () => {
  expect(problemPaths({})).toEqual([]);
  expect(problemPaths({ mode: "shift", steps: [1, 9] })).toEqual([]);
  expect(problemPaths({ mode: "shift", steps: [1, 10] })).toEqual(["steps.1"]);
  expect(problemPaths({ mode: "shift" })).toEqual(["steps"]);
  expect(problemPaths({ mode: "periodic", steps: [10] })).toEqual([]);
  expect(problemPaths({ moves: "weights", clusters: 1 })).toEqual(["clusters"]);
  expect(problemPaths({ moves: "weights", exponent: 0 })).toEqual([]);
  expect(problemPaths({ moves: "weights", exponent: 0, mode: "periodic" })).toEqual(["exponent"]);
});

test("step 0 and fractions of steps cannot be shifts", () => {
  for (const steps of [[0], [1.5], [-1]]) expect(driftKind.options.safeParse({ steps }).success).toBe(false);
});
