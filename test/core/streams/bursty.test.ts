import { expect, test } from "vitest";
import { createRandom } from "../../../src/core/random.ts";
import { burstyKind, createTopicChain } from "../../../src/core/streams/bursty.ts";
import { clustersKind } from "../../../src/core/streams/clusters.ts";
import { zipfWeights } from "../../../src/core/streams/parts/zipf.ts";
import { countRows, generate, standardErrors } from "./stream-context.ts";

function runChain(weights: Float64Array, burstLength: number, steps: number): { topic: number; length: number }[] {
  const next = createTopicChain(weights, burstLength, createRandom(3));
  const bursts: { topic: number; length: number }[] = [];
  for (let step = 0; step < steps; step++) {
    const topic = next();
    const last = bursts.at(-1);
    if (last?.topic === topic) last.length++;
    else bursts.push({ topic, length: 1 });
  }
  // The last burst was cut off.
  return bursts.slice(0, -1);
}

test("bursts have the geometric law of their mean length", () => {
  const bursts = runChain(zipfWeights(6, 1), 8, 80_000);
  const mean = bursts.reduce((sum, { length }) => sum + length, 0) / bursts.length;
  // A geometric law of mean m has variance m(m − 1).
  expect(Math.abs(mean - 8)).toBeLessThan(standardErrors * Math.sqrt((8 * 7) / bursts.length));
  for (const length of [1, 2, 5, 20]) {
    const p = (1 / 8) * (7 / 8) ** (length - 1);
    const count = bursts.filter((burst) => burst.length === length).length;
    expect(Math.abs(count - bursts.length * p)).toBeLessThan(standardErrors * Math.sqrt(bursts.length * p * (1 - p)));
  }
});

test("the next topic is another one, by the weights of the others", () => {
  const weights = zipfWeights(4, 1);
  const bursts = runChain(weights, 1, 40_000);
  expect(bursts.every(({ length }) => length === 1)).toBe(true);
  const after = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
  for (let i = 1; i < bursts.length; i++) after[bursts[i - 1].topic][bursts[i].topic] += 1;
  for (const [topic, counts] of after.entries()) {
    const visits = counts.reduce((sum, count) => sum + count);
    for (const [other, count] of counts.entries()) {
      const p = other === topic ? 0 : weights[other] / (1 - weights[topic]);
      expect(Math.abs(count - visits * p)).toBeLessThanOrEqual(standardErrors * Math.sqrt(visits * p * (1 - p)));
    }
  }
});

test("the dominating cluster has its dominance and its share of the rest", async () => {
  const options = { clusters: 3, exponent: 1, spread: 0, dominance: 0.6, burstLength: 1e9 };
  const counts = [...countRows(await generate(burstyKind, options, { steps: 10, tokens: 4000 }), 8).values()];
  counts.sort((a, b) => b - a);
  const top = zipfWeights(3, 1).map((weight) => 0.6 + 0.4 * weight);
  const near = (p: number) => Math.abs(counts[0] - 40_000 * p) < standardErrors * Math.sqrt(40_000 * p * (1 - p));
  // Which cluster dominates is drawn; exactly one of the three values can fit, as they are 15 standard errors apart.
  expect(Array.from(top).filter(near)).toHaveLength(1);
});

test("full dominance puts a whole batch in one cluster, and others take over", async () => {
  const options = { spread: 0, dominance: 1, burstLength: 2 };
  const batches = await generate(burstyKind, options, { steps: 40, tokens: 10 });
  for (const logits of batches) expect(countRows([logits], 8).size).toBe(1);
  expect(countRows(batches, 8).size).toBeGreaterThan(3);
});

test("without dominance it is the clusters stream of the same seed", async () => {
  expect(await generate(burstyKind, { dominance: 0 })).toEqual(await generate(clustersKind, {}));
});

test("one cluster cannot take turns", () => {
  const shape = { steps: 1, tokens: 1, experts: 1 };
  expect(burstyKind.check!(burstyKind.options.parse({ clusters: 2 }), shape)).toEqual([]);
  expect(burstyKind.check!(burstyKind.options.parse({ clusters: 1 }), shape)).toMatchObject([{ path: ["clusters"] }]);
});
