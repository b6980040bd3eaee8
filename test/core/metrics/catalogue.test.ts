import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import {
  camelCase,
  describeMetrics,
  directionOf,
  headerTitle,
  type Metric,
  metricColumns,
  metrics,
  type RangeSizes,
  stepColumns,
} from "../../../src/core/metrics/catalogue.ts";
import { createBatchFacts, createStepMeter } from "../../../src/core/metrics/step-metrics.ts";
import {
  diagnosticColumns,
  headerOf,
  stepColumnsOf,
  summaryColumnsOf,
  timingColumnsOf,
} from "../../../src/core/results/result-columns.ts";
import { routers, simulate } from "../../../src/index.ts";
import { measuredColumns } from "../../../src/node/check/checked-files.ts";
import { measureRule } from "../../support/measure-rule.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { runInProcess } from "../../support/run-in-process.ts";

/** The columns that say whose row it is and how large its run was. */
const places = [
  "scenario",
  "router",
  "kind",
  "seed",
  "step",
  "steps",
  "tokens",
  "experts",
  "top_k",
  "max_vio_worst_layer",
];
const summaryHeader = headerOf(summaryColumnsOf("evaluated", true, true));
const files = {
  summary: summaryHeader,
  steps: headerOf(stepColumnsOf("evaluated", true)),
  diagnostics: headerOf(diagnosticColumns()),
  timing: headerOf(timingColumnsOf(true)),
};

/** Rounding may pass a bound by a few units in the last place of sums of some hundred terms. */
const tolerance = 1e-9;

function expectWithin(metric: Metric, value: number | null, sizes: RangeSizes): void {
  if (value === null) return;
  const [least, most] = metric.bounds(sizes);
  expect(value, `${metric.id} in ${metric.range}`).toBeGreaterThanOrEqual(least - tolerance);
  expect(value, `${metric.id} in ${metric.range}`).toBeLessThanOrEqual(most + tolerance);
}

describe("the catalogue of metrics", () => {
  it("has one entry for every column of a result file that is a metric", () => {
    const written = Object.entries(files).flatMap(([file, columns]) =>
      columns.filter((column) => !places.includes(column)).map((column) => `${file} ${column}`),
    );
    expect(
      describeMetrics()
        .flatMap(({ columns }) => columns)
        .toSorted(),
    ).toEqual(written.toSorted());
  });

  it("says of every metric what it is, in which unit and range, and who defined it", () => {
    for (const { id, ...texts } of metrics) {
      for (const key of ["label", "unit", "range", "definition", "source"] as const)
        expect(texts[key], id).not.toBe("");
    }
    expect(new Set(metrics.map(({ id }) => id)).size).toBe(metrics.length);
  });

  it("takes each column of a run in one way, from the steps only if the metric has some", () => {
    for (const { column, taken, value, metric } of metricColumns) {
      expect(
        [taken, value].filter((way) => way !== undefined),
        column,
      ).toHaveLength(1);
      if (taken !== undefined) expect(metric.step, column).toBeDefined();
    }
  });

  it("gives every column that a terminal shows a rank of its own, and no other", () => {
    const columns = metrics.flatMap(({ run = [], timing = [] }) => [...run, ...timing]);
    const ranks = columns.flatMap(({ rank }) => rank ?? []);
    expect(new Set(ranks).size).toBe(ranks.length);
    for (const { column, header, rank } of columns) expect(rank !== undefined, column).toBe(header !== undefined);
  });

  it("has the columns of people in the order of the file, but errors beside what they are the error of", () => {
    const inOrder = summaryHeader.filter((name) => !places.includes(name) && name !== "regret_se");
    inOrder.splice(inOrder.indexOf("regret_mean") + 1, 0, "regret_se");
    expect(metricColumns.map(({ column }) => column)).toEqual(inOrder);
  });

  it("is what `list metrics --json` prints", async () => {
    const { stdout } = await runInProcess(["list", "metrics", "--json"]);
    expect(JSON.parse(stdout)).toEqual(describeMetrics());
  });

  it("explains a column by its label and definition, and says nothing of what is no metric", () => {
    expect(headerTitle("load_gini")).toBe("load Gini: Gini coefficient of A");
    expect(headerTitle("seed")).toBe("");
  });
});

describe("the direction of a metric", () => {
  /** Neither way is better for these: sizes and names, and what is only a count or depends on the other metrics. */
  const withoutDirection = [
    "kind",
    "steps",
    "tokens",
    "experts",
    "top_k",
    "churn",
    "regret_se",
    "sinkhorn_steps",
    "solver_iterations_mean",
    "solver_iterations",
    "gate_gradient_norm_mean",
    "gate_gradient_norm",
    "routing_entropy",
    "expert_similarity",
    "load",
    "router_z",
    "max_column_cardinality",
    "seeds",
    "bias_spread",
    "max_vio_worst_layer",
    "unplaced_load",
    "unplaced_step_time",
    "unplaced_step_time_mean",
    "stale_step_time",
    "stale_step_time_mean",
    "step_time_bound",
    "step_time_bound_mean",
  ];

  it("is known for every column of the result files, and is none for those without a better way", () => {
    const unknown = measuredColumns.filter((column) => directionOf(column) === null);
    expect(unknown.toSorted()).toEqual(withoutDirection.toSorted());
  });

  it("is that of the metric in every file that has it", () => {
    const directions = ["max_vio", "max_vio_batch_mean", "score", "load_entropy", "min_vio", "task_loss"];
    expect(directions.map(directionOf)).toEqual(["lower", "lower", "higher", "higher", "lower", "lower"]);
    for (const { column, better } of metricColumns) expect(directionOf(column)).toBe(better);
    expect(directionOf("score_ci95")).toBeNull();
  });
});

describe("the range of a metric", () => {
  // Six experts do not go into the eight groups that `grouped-topk` has by default.
  const kinds = routers
    .list()
    .map(({ kind }) => kind)
    .filter((kind) => kind !== "grouped-topk");

  it("holds on every step and over the whole of random runs", async () => {
    const run = fc.record({
      kind: fc.constantFrom(...kinds),
      stream: fc.constantFrom("gaussian", "clusters", "zipf-text", "adversarial"),
      scores: fc.constantFrom("softmax", "sigmoid"),
      capacity: fc.constantFrom("none", "drop", "drop-position"),
      topK: fc.integer({ min: 1, max: 3 }),
      tokens: fc.integer({ min: 1, max: 40 }),
      steps: fc.integer({ min: 1, max: 6 }),
      ranks: fc.constantFrom(1, 2, 6),
      seed: fc.nat(1000),
      isPlaced: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(run, async ({ kind, stream, capacity, scores, isPlaced, ...sizes }) => {
        const placement = isPlaced && { gpus: sizes.ranks, slots: 12, interval: 2, window: 3 };
        const scenario = {
          name: "random",
          experts: 6,
          capacity,
          scores,
          ...sizes,
          ...(placement && { placement }),
        } as const;
        const { runs } = await simulate({ ...scenario, stream: { kind: stream }, routers: [{ kind }] } as Parameters<
          typeof simulate
        >[0]);
        const [{ summary, steps }] = runs;
        const values = summary as unknown as Record<string, number | null>;
        for (const { column, metric } of metricColumns) expectWithin(metric, values[camelCase(column)], scenario);
        for (const step of steps as unknown as Record<string, number | null>[]) {
          for (const metric of metrics.filter((one) => one.step !== undefined)) {
            expect(step, metric.id).toHaveProperty(camelCase(metric.id));
            expectWithin(metric, step[camelCase(metric.id)], scenario);
          }
        }
      }),
      { seed: 1, numRuns: 60 },
    );
  }, 60_000);

  it("holds for what a trained gate and a bias are measured by", () => {
    const [tokens, experts, topK, ranks] = [24, 6, 2, 3];
    const shape = { tokens, experts, topK, capacityFactor: 1, ...measureRule({ ranks }) };
    const kernels = createReferenceKernels();
    const facts = createBatchFacts(kernels, shape);
    const meter = createStepMeter(kernels, shape, topK);
    const logits = kernels.allocateFloat32(tokens * experts);
    const expert = kernels.allocateInt32(tokens * topK);
    const gate = kernels.allocateFloat32(tokens * topK);
    const load = kernels.allocateInt32(experts);
    const clusters = fc.array(fc.nat(4), { minLength: tokens, maxLength: tokens });
    const spread = fc.double({ min: 0, max: 50, noNaN: true });
    fc.assert(
      fc.property(clusters, spread, fc.nat(1000), (cluster, scale, seed) => {
        logits.set(randomLogits(`trained ${seed}`, tokens, experts, scale));
        const batch = { step: 0, tokens, experts, logits, cluster: Int32Array.from(cluster) };
        facts.observe(batch);
        expert.set(facts.topKExpert);
        load.fill(0);
        for (const chosen of expert) load[chosen] += 1;
        const bias = Float64Array.from(logits.subarray(0, experts));
        const measured = meter.measure(batch, facts, { slots: topK, expert, gate, load }, bias, true);
        const record = { step: 0, tokens, load, metrics: measured, regret: null };
        for (const { name, value } of stepColumns) {
          const metric = metrics.find(({ id }) => id === name)!;
          if ("measure" in metric.step! && !metric.placed) expect(value(record), name).not.toBeNull();
          expectWithin(metric, value(record), { experts, topK, ranks, steps: 1 });
        }
      }),
      { seed: 1 },
    );
  });
});
