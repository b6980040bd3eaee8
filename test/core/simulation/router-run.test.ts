import { expect, it } from "vitest";
import type { Assignment } from "../../../src/core/assignment.ts";
import { createKernels } from "../../../src/core/kernels/index.ts";
import { stepResultOf } from "../../../src/core/library/step-result.ts";
import { createRunSummary } from "../../../src/core/metrics/run-summary.ts";
import { createBatchFacts } from "../../../src/core/metrics/step-metrics.ts";
import { resolveScenario } from "../../../src/core/scenario/load.ts";
import { measuredSteps } from "../../../src/core/simulation/optima.ts";
import { createRouterRun } from "../../../src/core/simulation/router-run.ts";
import type { Stream } from "../../../src/core/streams/stream.ts";
import { randomLogits } from "../../support/random-logits.ts";

const [tokens, experts] = [24, 4];
const sizes = { name: "small", steps: 3, tokens, experts, topK: 2, deadWindow: 2, regret: { every: 0 } };
const written = { ...sizes, stream: { kind: "gaussian" }, routers: [{ kind: "topk" }] };
const scenario = await resolveScenario(written, "small.yaml");

/** Routes three batches of a stream with `learn` and returns the records and what came of them. */
function runWith(learn: Stream["learn"], cluster?: Int32Array, routed = scenario) {
  const kernels = createKernels("wasm");
  const trained = learn === undefined ? routed : { ...routed, stream: { kind: "training", options: {} } };
  const sample = measuredSteps(trained);
  const run = createRouterRun({ scenario: trained, position: 0, kernels, sample, hasOptima: true, dual: undefined });
  const facts = createBatchFacts(kernels, scenario);
  const stream: Stream = {
    next: async () => null,
    close: async () => undefined,
    ...(learn !== undefined && { learn }),
  };
  const logits = kernels.allocateFloat32(tokens * experts);
  const records = [0, 1, 2].map((step) => {
    logits.set(randomLogits(`step ${step}`, tokens, experts));
    const batch = { step, tokens, experts, logits, ...(cluster !== undefined && { cluster }) };
    facts.observe(batch);
    run.route(batch);
    return run.measure(batch, facts, null, null, stream);
  });
  const result = run.result();
  const summary = createRunSummary(trained, result.summary).summary(records.map(({ metrics }) => metrics.maxVio));
  return { records, result, summary };
}

it("hands a stream that trains how each batch was routed, and keeps what it came to and how long it took", () => {
  const seen: Assignment[] = [];
  const { records, result, summary } = runWith(
    (assignment) => {
      seen.push(assignment);
      return { taskLoss: 8 / 2 ** seen.length, gateGradientNorm: seen.length, expertSimilarity: 0.5 };
    },
    Int32Array.from({ length: tokens }, (_, token) => token % 2),
  );
  expect(seen).toHaveLength(3);
  expect(seen[0].load.reduce((sum, load) => sum + load, 0)).toBe(2 * tokens);
  expect(records.map(({ training }) => training?.taskLoss)).toEqual([4, 2, 1]);
  // Independent of the clusters but for chance: some 1·3 / (2·48), and never above ln 2.
  for (const { metrics } of records) {
    expect(metrics.specialisation).toBeLessThan(0.3);
    expect(metrics.routingEntropy).toBeGreaterThan(0.5);
    expect(metrics.routingEntropy).toBeLessThan(1);
  }
  expect(summary).toMatchObject({ taskLoss: 1.5, taskLossMean: 7 / 3, gateGradientNormMean: 2 });
  expect(result.series.trainMs).toHaveLength(3);
  expect(result.series.routeMs).toHaveLength(3);
  expect(stepResultOf(records[1])).toMatchObject({
    taskLoss: 2,
    gateGradientNorm: 2,
    routingEntropy: records[1].metrics.routingEntropy,
    specialisation: records[1].metrics.specialisation,
    expertSimilarity: 0.5,
  });
});

it("hands over what the capacity policy leaves", async () => {
  const seen: Assignment[] = [];
  const dropping = await resolveScenario({ ...written, capacity: "drop" }, "small.yaml");
  const { records } = runWith(
    ({ slots, expert, gate, load }) => {
      seen.push({ slots, expert: expert.slice(0, 2 * tokens), gate, load: load.slice() });
      return { taskLoss: 1, gateGradientNorm: 0, expertSimilarity: 1 };
    },
    undefined,
    dropping,
  );
  for (const [step, { expert, load }] of seen.entries()) {
    const dropped = expert.filter((e) => e < 0).length;
    expect(dropped).toBe(records[step].metrics.droppedFraction! * 2 * tokens);
    for (let e = 0; e < experts; e++) {
      expect(expert.filter((other) => other === e)).toHaveLength(Math.min(load[e], 12));
    }
  }
  expect(records[0].metrics.droppedFraction).toBeGreaterThan(0);
});

it("has no specialisation where the stream does not know the clusters", () => {
  const { records, summary } = runWith(() => ({ taskLoss: 1, gateGradientNorm: 0, expertSimilarity: 1 }));
  expect(records[0].metrics.specialisation).toBeNull();
  expect(summary).toMatchObject({ taskLoss: 1, specialisation: null });
});

it("has nothing of training where the stream does not train", () => {
  const { records, result, summary } = runWith(undefined);
  expect(records[0]).not.toHaveProperty("training");
  expect(summary).toMatchObject({ taskLoss: null, taskLossMean: null, routingEntropy: null });
  expect(result.series.trainMs).toBeNull();
  expect(stepResultOf(records[0])).toMatchObject({ taskLoss: null, specialisation: null });
});
