import { describe, expect, it } from "vitest";
import { expertCapacity, type RoutingShape, type ScoreKind } from "../../../src/core/assignment.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import type { CapacityRule } from "../../../src/core/metrics/drops.ts";
import { createBatchFacts, createStepMeter, loadMetrics } from "../../../src/core/metrics/step-metrics.ts";
import { measureRule } from "../../support/measure-rule.ts";
import { affinities, countLoad, largestIndices, type Matrix, toMatrix } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";

// Float64 throughout; the affinities of single pairs may come with the relative error 1e-6 of float32 kernels.
const scoreDigits = 6;

const shape: RoutingShape = { tokens: 12, experts: 4, topK: 2, capacityFactor: 1 };
const logits = randomLogits("step metrics", shape.tokens, shape.experts, 2);
const logitRows = toMatrix(logits, shape.tokens, shape.experts);
const topKRows = logitRows.map((row) => largestIndices(row, shape.topK));

interface MeterSetting {
  readonly scores?: ScoreKind;
  readonly rule?: Partial<CapacityRule>;
  readonly ranks?: number;
  readonly shape?: RoutingShape;
}

function measure(chosen: Matrix, { scores = "softmax", rule = {}, ranks = 2, ...setting }: MeterSetting = {}) {
  const of = setting.shape ?? shape;
  const kernels = createReferenceKernels();
  const slots = chosen[0].length;
  const measured = { ...of, ...measureRule({ scores, ranks, ...rule }) };
  const facts = createBatchFacts(kernels, measured);
  const meter = createStepMeter(kernels, measured, slots);
  const buffer = kernels.allocateFloat32(logits.length);
  buffer.set(logits);
  const expert = kernels.allocateInt32(of.tokens * slots);
  expert.set(chosen.flat());
  const load = kernels.allocateInt32(of.experts);
  load.set(countLoad(chosen, of.experts));
  const gate = kernels.allocateFloat32(of.tokens * slots);
  const batch = { step: 0, tokens: chosen.length, experts: of.experts, logits: buffer };
  facts.observe(batch);
  return meter.measure(batch, facts, { slots, expert, gate, load });
}

function scoreOf(chosen: Matrix, scores: ScoreKind): number {
  const affinity = affinities(logitRows, scores);
  let score = 0;
  chosen.forEach((row, token) => {
    for (const expert of row) if (expert >= 0) score += affinity[token][expert];
  });
  return score / (chosen.length * shape.topK);
}

describe("createBatchFacts", () => {
  const kernels = createReferenceKernels();
  const facts = createBatchFacts(kernels, { ...shape, ...measureRule() });
  const buffer = kernels.allocateFloat32(logits.length);

  it("has no router_z before the first batch", () => {
    expect(facts.routerZ).toBeNaN();
  });

  it("computes the log-sum-exp of each row, plain top-k's choice and router_z", () => {
    buffer.set(logits);
    const routerZ = facts.observe({ step: 0, tokens: shape.tokens, experts: shape.experts, logits: buffer });
    const logSumExp = logitRows.map((row) => Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)));
    logSumExp.forEach((value, token) => {
      expect(facts.logSumExp[token]).toBeCloseTo(value, 10);
    });
    expect(toMatrix(facts.topKExpert, shape.tokens, shape.topK)).toEqual(topKRows);
    expect(routerZ).toBeCloseTo(logSumExp.reduce((sum, value) => sum + value ** 2, 0) / shape.tokens, 10);
    expect(facts.routerZ).toBe(routerZ);
  });

  it("takes the mean over the tokens of a shorter batch alone", () => {
    buffer.set(logits);
    const routerZ = facts.observe({ step: 1, tokens: 3, experts: shape.experts, logits: buffer });
    const squares = logitRows
      .slice(0, 3)
      .map((row) => Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) ** 2);
    expect(routerZ).toBeCloseTo(squares.reduce((sum, value) => sum + value, 0) / 3, 10);
  });
});

describe("loadMetrics", () => {
  it("names what each load metric says of one load", () => {
    const metrics = loadMetrics([6, 2, 0, 8], 4, 16, new Float64Array(2));
    expect(metrics).toMatchObject({
      maxVio: 1,
      minVio: 1,
      loadCv: Math.sqrt(10) / 4,
      loadGini: 0.4375,
      loadEntropy: expect.closeTo(
        -(0.375 * Math.log(0.375) + 0.125 * Math.log(0.125) + 0.5 * Math.log(0.5)) / Math.log(4),
        12,
      ),
      idleFraction: 0.25,
      droppedFraction: 6 / 16,
      rankMaxVio: 0,
      stepTime: 1,
    });
  });

  it("counts pairs that the router left unassigned as dropped, beside those over capacity", () => {
    // 16 pairs asked for, 12 assigned, 2 of them over the capacity of 4.
    expect(loadMetrics([6, 2, 0, 4], 4, 16, new Float64Array(1)).droppedFraction).toBe(6 / 16);
  });

  it("counts only what is over capacity for a router that assigns more pairs than asked for", () => {
    expect(loadMetrics([5, 5, 5, 5], 4, 16, new Float64Array(1)).droppedFraction).toBe(4 / 16);
  });

  it("measures the step time against the pairs asked for", () => {
    expect(loadMetrics([5, 5, 5, 5], 5, 16, new Float64Array(2)).stepTime).toBe(1.25);
  });

  it("measures nothing in a batch without pairs", () => {
    const metrics = loadMetrics([0, 0], 1, 0, new Float64Array(2));
    expect(Object.values(metrics).every((value) => value === null)).toBe(true);
  });
});

describe("createStepMeter", () => {
  it.each(["softmax", "sigmoid"] as const)(
    "scores top-k's own choice by its %s affinities, without churn",
    (scores) => {
      const metrics = measure(topKRows, { scores });
      expect(metrics.score).toBeCloseTo(scoreOf(topKRows, scores), scoreDigits);
      expect(metrics.churn).toBe(0);
    },
  );

  it("carries router_z over from the facts of the batch", () => {
    const squares = logitRows.map((row) => Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) ** 2);
    const mean = squares.reduce((sum, value) => sum + value, 0) / squares.length;
    expect(measure(topKRows).routerZ).toBeCloseTo(mean, 10);
  });

  const onTwo = logitRows.map((_, token) => (token % 3 === 0 ? [0, 2] : [0, 1]));

  it("reports the load of experts before drops, and that of ranks after them", () => {
    const none = measure(onTwo);
    // Which ranks a token reaches follows from the pairs that are left; its own tests have the values.
    const apart = { score: null, ranksPerToken: null };
    for (const capacity of ["drop", "drop-position"] as const) {
      const dropping = measure(onTwo, { rule: { capacity } });
      // What is left of the loads 12, 8, 4, 0 is 6, 6, 4, 0, and 24 pairs were asked for.
      const ofRanks = { rankMaxVio: 0.5, stepTime: 1, balancedness: 8 / 12 };
      expect({ ...dropping, ...apart }).toEqual({ ...none, ...apart, ...ofRanks });
    }
    // Four pairs move to the last expert with room on the second rank, as far as tokens have further experts there.
    const rerouting = measure(onTwo, { rule: { capacity: "reroute" } });
    expect({ ...rerouting, ...apart }).toEqual({ ...none, ...apart, rankMaxVio: 0, stepTime: 1, balancedness: 1 });
    // Loads 12, 8, 4, 0 of 24 pairs with a capacity of 6: 6 and 2 are over it, 20 are on the first of two ranks.
    expect(none.maxVio).toBe(1);
    expect(none.droppedFraction).toBe(8 / 24);
    expect(none.rankMaxVio).toBeCloseTo(20 / 12 - 1, 12);
    expect(none.stepTime).toBeCloseTo(20 / 12, 12);
  });

  it("scores every assigned pair under the policy `none`", () => {
    expect(measure(onTwo).score).toBeCloseTo(scoreOf(onTwo, "softmax"), scoreDigits);
  });

  it("scores only the pairs that the policy `drop` keeps: the highest of each expert over capacity", () => {
    const affinity = affinities(logitRows, "softmax");
    const capacity = expertCapacity(shape.tokens, shape);
    const kept = onTwo.map((row) => [...row]);
    for (const [slot, experts] of [
      [0, [0]],
      [1, [1, 2]],
    ] as const) {
      for (const expert of experts) {
        const held = onTwo.flatMap((row, token) => (row[slot] === expert ? [token] : []));
        const order = largestIndices(
          held.map((token) => affinity[token][expert]),
          held.length,
        );
        for (const place of order.slice(capacity)) kept[held[place]][slot] = -1;
      }
    }
    expect(kept.flat().filter((expert) => expert === -1)).toHaveLength(8);
    expect(measure(onTwo, { rule: { capacity: "drop", dropBy: "scores" } }).score).toBeCloseTo(
      scoreOf(kept, "softmax"),
      scoreDigits,
    );
  });

  it("drops the pairs with the lowest gates unless `dropBy` says otherwise", () => {
    // All gates are equal here, so that the earlier tokens stay.
    const byGates = measure(onTwo, { rule: { capacity: "drop" } });
    const byPosition = measure(onTwo, { rule: { capacity: "drop-position" } });
    expect(byGates).toEqual(byPosition);
    expect(byGates.score).not.toBe(measure(onTwo, { rule: { capacity: "drop", dropBy: "scores" } }).score);
  });

  it("scores only the earliest pairs of each expert under `drop-position`", () => {
    const capacity = expertCapacity(shape.tokens, shape);
    const seen = new Array(shape.experts).fill(0);
    const kept = onTwo.map((row) => row.map((expert) => (++seen[expert] > capacity ? -1 : expert)));
    expect(measure(onTwo, { rule: { capacity: "drop-position" } }).score).toBeCloseTo(
      scoreOf(kept, "softmax"),
      scoreDigits,
    );
  });

  it("counts unrouted tokens as dropped and as differing from top-k, and scores them 0", () => {
    const halfRouted = topKRows.map((row, token) => (token < 6 ? row : [-1, -1]));
    const metrics = measure(halfRouted, { shape: { ...shape, capacityFactor: 4 } });
    expect(metrics.droppedFraction).toBe(0.5);
    expect(metrics.churn).toBe(0.5);
    expect(metrics.unroutedFraction).toBe(0.5);
    expect(metrics.score).toBeCloseTo(scoreOf(halfRouted, "softmax"), scoreDigits);
  });

  it("scores all slots of tokens with more than K experts, still divided by T·K", () => {
    const everyExpert = logitRows.map(() => [0, 1, 2, 3]);
    // The affinities of a token sum to 1.
    expect(measure(everyExpert).score).toBeCloseTo(1 / shape.topK, scoreDigits);
  });

  it("reads only the tokens of a shorter last batch, with that batch's capacity", () => {
    const metrics = measure(topKRows.slice(0, 5));
    expect(metrics.score).toBeCloseTo(scoreOf(topKRows.slice(0, 5), "softmax"), scoreDigits);
    const over = countLoad(topKRows.slice(0, 5), shape.experts).reduce((sum, pairs) => sum + Math.max(0, pairs - 3), 0);
    expect(metrics.droppedFraction).toBe(over / 10);
  });
});
