import { expect, test } from "vitest";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { idleFraction, maxVio } from "../../../src/core/metrics/load.ts";
import { clustersKind } from "../../../src/core/streams/clusters.ts";
import { countRows, generate, standardErrors } from "./stream-context.ts";

test("without spread there is one row per cluster, as frequent as the Zipf law says", async () => {
  const shape = { steps: 20, tokens: 1000, experts: 8 };
  const batches = await generate(clustersKind, { clusters: 5, exponent: 1.5, spread: 0 }, shape);
  const counts = [...countRows(batches, 8).values()].toSorted((a, b) => b - a);
  expect(counts).toHaveLength(5);
  const powers = [1, 2, 3, 4, 5].map((rank) => rank ** -1.5);
  const total = powers.reduce((sum, power) => sum + power);
  for (const [rank, power] of powers.entries()) {
    const p = power / total;
    expect(Math.abs(counts[rank] - 20_000 * p)).toBeLessThan(standardErrors * Math.sqrt(20_000 * p * (1 - p)));
  }
});

test("more clusters leave the centres of the first ones and the router as they were", async () => {
  const options = { exponent: 0, spread: 0 };
  const few = countRows(await generate(clustersKind, { ...options, clusters: 3 }, { tokens: 200 }), 8);
  const many = countRows(await generate(clustersKind, { ...options, clusters: 9 }, { tokens: 200 }), 8);
  expect(few.size).toBe(3);
  expect(many.size).toBe(9);
  for (const row of few.keys()) expect(many.has(row)).toBe(true);
});

test("one dimension makes all rows multiples of one router row, whatever the clusters", async () => {
  const routers = [];
  for (const clusters of [2, 50]) {
    const [logits] = await generate(clustersKind, { clusters, dimension: 1 }, { steps: 1, tokens: 64 });
    const direction = Array.from(logits.subarray(0, 8), (logit) => logit / logits[0]);
    for (let row = 0; row < logits.length; row += 8) {
      // Each logit is one float32 product, so that ratios err by a few units of 2^-24.
      for (let e = 0; e < 8; e++) expect(logits[row + e] / logits[row] / direction[e]).toBeCloseTo(1, 5);
    }
    routers.push(direction);
  }
  for (let e = 0; e < 8; e++) expect(routers[1][e] / routers[0][e]).toBeCloseTo(1, 5);
});

test("logits have variance scale² · (1 + spread²)", async () => {
  const options = { clusters: 2000, exponent: 0, dimension: 64, spread: 0.8, scale: 3 };
  const batches = await generate(clustersKind, options, { steps: 2, tokens: 2000, experts: 256 });
  let squares = 0;
  for (const logits of batches) for (const logit of logits) squares += logit ** 2;
  const expected = 9 * (1 + 0.64);
  // W has 64 · 256 entries, tokens and centres more: the relative standard error is about √(2/16384) = 1.1 %.
  expect(Math.abs(squares / (2 * 2000 * 256) / expected - 1)).toBeLessThan(standardErrors * Math.sqrt(2 / 16384));
});

test("tokens of one cluster differ by spread alone", async () => {
  const options = { clusters: 1, dimension: 64, spread: 0.5, scale: 2 };
  const [logits] = await generate(clustersKind, options, { steps: 1, tokens: 2000, experts: 256 });
  let variance = 0;
  for (let e = 0; e < 256; e++) {
    const column = Float64Array.from({ length: 2000 }, (_, token) => logits[token * 256 + e]);
    const mean = column.reduce((sum, value) => sum + value) / 2000;
    variance += column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2000 / 256;
  }
  // As above: the entries of W are what is fewest.
  expect(Math.abs(variance / (4 * 0.25) - 1)).toBeLessThan(standardErrors * Math.sqrt(2 / 16384));
});

test("by default top-k is badly balanced but not degenerate", async () => {
  const kernels = createReferenceKernels();
  const [tokens, experts, topK] = [1024, 64, 2];
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts);
  for (const seed of [1, 2, 3]) {
    const [logits] = await generate(clustersKind, {}, { steps: 1, tokens, experts }, seed);
    kernels.selectTopK(logits, "logits", null, tokens, experts, topK, expert, load);
    expect(maxVio(load)).toBeGreaterThan(3);
    expect(maxVio(load)).toBeLessThan(20);
    expect(idleFraction(load)).toBeGreaterThan(0);
    expect(idleFraction(load)).toBeLessThan(0.5);
  }
});
