import type { Scalar, Tensor, Tensor2D, Tensor3D } from "@tensorflow/tfjs-core";
import { describe, expect, it } from "vitest";
import { createKernels } from "../../../src/core/kernels/index.ts";
import { maxVio } from "../../../src/core/metrics/load.ts";
import { createRandom } from "../../../src/core/random.ts";
import { clustersKind } from "../../../src/core/streams/clusters.ts";
import { loadTensors } from "../../../src/node/tensors.ts";
import { backends } from "../../support/backends.ts";
import {
  affinities,
  columnError,
  largestDifference,
  largestIndices,
  type Matrix,
  normalised,
  toMatrix,
} from "../../support/plain.ts";
import { randomLogits, skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest, type Decision, type RouterSetting } from "../../support/router-under-test.ts";
import { generate } from "../streams/stream-context.ts";

const gateTolerance = 2e-6;
// At ε = 0.05 costs between 0 and 1 have exponents of up to 20, of which float32 entries of the Gibbs kernel have a relative
// error of 2.5e-7 + 20 · 1.8e-7 (see `Kernels.gibbsSweep`); a gate changes by at most a quarter of the sum of two.
const scoresTolerance = 4e-6;

const shape = { tokens: 30, experts: 6, topK: 2, capacityFactor: 1 };
const logits = skewedLogits("ssr", shape.tokens, shape.experts, 2);
const rows = toMatrix(logits, shape.tokens, shape.experts);
const always = { select: { mode: "every", n: 1 } };
const never = { select: { mode: "first", steps: 0 } };

/** On which of `steps` steps the solver ran, with the same logits on each. */
function selectedSteps(select: object, steps: number, setting: RouterSetting = {}): number[] {
  const router = createRouterUnderTest("ssr", shape, { options: { select }, ...setting });
  return Array.from({ length: steps }, (_, step) => ({ step, solver: router.route(logits).solver }))
    .filter(({ solver }) => solver !== undefined)
    .map(({ step }) => step);
}

type Cost = "scores" | "logits";

/** C of each row, −∞ for disabled experts. */
function costOf(logits: Matrix, cost: Cost): Matrix {
  if (cost === "logits") return logits;
  return affinities(logits, "softmax").map((row, t) => row.map((p, e) => (logits[t][e] === -Infinity ? -Infinity : p)));
}

function logSum(values: readonly number[]): number {
  const largest = Math.max(...values);
  if (largest === -Infinity) return -Infinity;
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/**
 * The plan of `cost` in float64 by updates of both potentials in the log domain, as textbooks and POT's `sinkhorn_log` have
 * it: column, then row, `sweeps` times, after a first row. Columns and rows without an entry take no part.
 */
function textbookPlan(cost: Matrix, epsilon: number, sweeps: number): Matrix {
  const scaled = cost.map((row) => row.map((value) => value / epsilon));
  const experts = [...scaled[0].keys()].filter((e) => scaled.some((row) => row[e] !== -Infinity));
  const tokens = [...scaled.keys()].filter((t) => scaled[t].some((value) => value !== -Infinity));
  const f = scaled.map((row) => -logSum(row));
  const g = scaled[0].map(() => 0);
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (const e of experts) {
      g[e] = Math.log(tokens.length / experts.length) - logSum(tokens.map((t) => scaled[t][e] + f[t]));
    }
    for (const t of tokens) f[t] = -logSum(scaled[t].map((value, e) => value + g[e]));
  }
  return scaled.map((row, t) => row.map((value, e) => (value === -Infinity ? 0 : Math.exp(value + f[t] + g[e]))));
}

/** The plan's choice: the K largest of each row that are not disabled, and their shares. */
function expectPlanned({ expert, gate }: Decision, plan: Matrix, tolerance: number): void {
  expect(expert).toEqual(plan.map((row) => largestIndices(row, shape.topK)));
  const gates = expert.map((row, token) => normalised(row.map((e) => plan[token][e])));
  expect(largestDifference(gate, gates)).toBeLessThan(tolerance);
}

describe.each(backends)("ssr on a selected step, on $backend kernels", (kernels) => {
  const selecting = (options: object, others: RouterSetting = {}) =>
    createRouterUnderTest("ssr", shape, { kernels, ...others, options: { ...always, ...options } });

  it("selects and gates by the plan of softmax(Z) at ε = 0.05, which its default settings find", () => {
    const router = selecting({});
    const decision = router.route(logits);
    expect(decision.solver).toMatchObject({ converged: true });
    const plan = textbookPlan(costOf(rows, "scores"), 0.05, decision.solver!.iterations);
    expectPlanned(decision, plan, scoresTolerance);
    expect(largestDifference(router.plan(), plan)).toBeLessThan(scoresTolerance);
    // The error that the solver reports is the plan's, and not above the tolerance.
    expect(columnError(plan)).toBeLessThanOrEqual(1e-4);
    expect(Math.abs(decision.solver!.marginalError - columnError(plan))).toBeLessThan(2e-6);
    // One sweep less would not do: it stops no later than it may.
    expect(columnError(textbookPlan(costOf(rows, "scores"), 0.05, decision.solver!.iterations - 1))).toBeGreaterThan(
      1e-4,
    );
  });

  it.each([
    ["scores", 0.05, scoresTolerance],
    ["scores", 0.5, gateTolerance],
    ["logits", 1, gateTolerance],
    ["logits", 0.5, gateTolerance],
  ] as const)(
    "follows the plan of the %s at ε = %d, of as many iterations as it is given",
    (cost, epsilon, tolerance) => {
      for (const maxIterations of [0, 1, 7]) {
        const decision = selecting({ cost, epsilon, maxIterations, tolerance: 0 }).route(logits);
        expect(decision.solver).toMatchObject({ iterations: maxIterations, converged: false });
        expectPlanned(decision, textbookPlan(costOf(rows, cost), epsilon, maxIterations), tolerance);
      }
    },
  );

  it("takes the softmax for its cost whatever the affinities, and its gates sum to 1 whatever `renormalize` says", () => {
    const sigmoid = selecting({ renormalize: false, epsilon: 0.2 }, { scores: "sigmoid" }).route(logits);
    expect(sigmoid).toEqual(selecting({ epsilon: 0.2 }).route(logits));
    for (const row of sigmoid.gate) expect(row.reduce((sum, gate) => sum + gate, 0)).toBeCloseTo(1, 6);
    const scaled = selecting({ gateScale: 2.5, epsilon: 0.2 }).route(logits);
    expect(
      largestDifference(
        scaled.gate,
        sigmoid.gate.map((row) => row.map((gate) => 2.5 * gate)),
      ),
    ).toBeLessThan(1e-6);
  });

  it.each([0.05, 0.5])("gives no mass to disabled experts at ε = %d, of one token or of all", (epsilon) => {
    // Expert 2 is disabled for all, others for some, and token 7 has a single one left.
    const masked = logits.map((z, i) =>
      i % 6 === 2 || (i % 6 === 4 && i % 5 === 0) || (Math.floor(i / 6) === 7 && i % 6 !== 3) ? -Infinity : z,
    );
    const maskedRows = toMatrix(masked, shape.tokens, shape.experts);
    for (const cost of ["scores", "logits"] as const) {
      const router = selecting({ cost, epsilon, maxIterations: 20, tolerance: 0 });
      const { expert, gate } = router.route(masked);
      const plan = textbookPlan(costOf(maskedRows, cost), epsilon, 20);
      const chosen = plan.map((row, t) =>
        largestIndices(row, shape.topK).map((e) => (maskedRows[t][e] === -Infinity ? -1 : e)),
      );
      expect(expert).toEqual(chosen);
      expect(expert[7]).toEqual([3, -1]);
      const gates = chosen.map((row, t) => normalised(row.map((e) => (e < 0 ? 0 : plan[t][e]))));
      expect(largestDifference(gate, gates)).toBeLessThan(scoresTolerance);
      expect(largestDifference(router.plan(), plan)).toBeLessThan(scoresTolerance);
      // Noise does not enable them.
      const noisy = selecting({ cost, epsilon, noise: 10 }).route(masked);
      expect(noisy.expert.flat()).not.toContain(2);
      expect(noisy.expert[7]).toEqual([3, -1]);
    }
  });

  it("gives tokens without any expert none, and does without them", () => {
    const masked = logits.map((z, i) => (i < 12 ? -Infinity : z));
    const router = selecting({ maxIterations: 20, tolerance: 0 });
    const { expert, gate } = router.route(masked);
    expect(expert.slice(0, 2)).toEqual([
      [-1, -1],
      [-1, -1],
    ]);
    expect(gate.slice(0, 2).flat()).toEqual([0, 0, 0, 0]);
    const plan = textbookPlan(costOf(rows.slice(2), "scores"), 0.05, 20);
    expect(expert.slice(2)).toEqual(plan.map((row) => largestIndices(row, shape.topK)));
    expect(router.plan().slice(0, 2).flat()).toEqual(new Array(12).fill(0));
  });

  it.each([
    [1, 1, 1],
    [1, 7, 3],
    [5, 1, 1],
    [6, 4, 4],
  ])("routes %d tokens to %d experts, %d each", (tokens, experts, topK) => {
    const small = { tokens, experts, topK, capacityFactor: 1 };
    for (const cost of ["scores", "logits"] as const) {
      const router = createRouterUnderTest("ssr", small, { kernels, options: { ...always, cost } });
      const { expert, gate, load } = router.route(skewedLogits("small", tokens, experts, 1));
      for (const row of expert) expect(new Set(row).size).toBe(topK);
      for (const row of gate) expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 6);
      if (topK === experts) expect(load).toEqual(new Array(experts).fill(tokens));
      // The only plan of one token has equal entries.
      if (tokens === 1) expect(expert).toEqual([Array.from({ length: topK }, (_, slot) => slot)]);
    }
  });

  it("adds noise of the deviation it is given to the cost, and none to the next step's logits", () => {
    for (const cost of ["scores", "logits"] as const) {
      const options = { cost, noise: 0.3, epsilon: 1, maxIterations: 0 };
      const router = selecting(options, { seed: "own" });
      const decision = router.route(logits);
      expect(router.seenLogits()).toEqual(logits);
      const generator = kernels.allocateUint32(16);
      const source = createRandom("own").derive("noise");
      generator.forEach((_, word) => {
        generator[word] = source.uint32();
      });
      const noise = kernels.allocateFloat32(logits.length);
      kernels.fillNormal(generator, noise, noise.length);
      const noisy = costOf(rows, cost).map((row, t) => row.map((c, e) => c + 0.3 * noise[t * shape.experts + e]));
      expect(decision.expert).toEqual(noisy.map((row) => largestIndices(row, shape.topK)));
      // Another draw on the next selected step, also after a trip of the state through JSON.
      const resumed = selecting(options, { seed: "other" });
      resumed.router.restore(JSON.parse(JSON.stringify(router.router.state())));
      const next = router.route(logits);
      expect(next.expert).not.toEqual(decision.expert);
      expect(resumed.route(logits)).toEqual(next);
    }
  });

  it("selects the same steps with noise as without", () => {
    const select = { mode: "probability", p: 0.4 };
    const ran = [0, 0.5].map((noise) => {
      const router = createRouterUnderTest("ssr", shape, { kernels, seed: "own", options: { select, noise } });
      return Array.from({ length: 40 }, () => router.route(logits).solver !== undefined);
    });
    expect(ran[1]).toEqual(ran[0]);
    expect(ran[0]).toContain(true);
    expect(ran[0]).toContain(false);
  });

  it("routes at inference by plain top-k, whatever it selects, and says nothing of a solver", () => {
    for (const noise of [0, 1]) {
      const router = selecting({ noise, renormalize: false });
      router.route(logits);
      const state = JSON.stringify(router.router.state());
      const { expert, gate, load } = router.infer(logits);
      const plain = createRouterUnderTest("topk", shape, { kernels, options: { renormalize: false } }).route(logits);
      expect({ expert, gate, load }).toEqual({ expert: plain.expert, gate: plain.gate, load: plain.load });
      expect(JSON.stringify(router.router.state())).toBe(state);
    }
  });
});

describe("ssr's gradient", () => {
  it("is nothing on a selected step if the plan is detached, and that of plain top-k on the others", () => {
    const weights = Float32Array.from({ length: 60 }, (_, slot) => Math.sin(slot));
    const gradientOf = (kind: string, options: object) => {
      const router = createRouterUnderTest(kind, shape, { options });
      router.route(logits);
      const gradient = new Float32Array(180);
      router.backward(weights, gradient);
      return gradient;
    };
    expect(gradientOf("ssr", { ...always, gradient: "detached" })).toEqual(new Float32Array(180));
    expect(Math.max(...gradientOf("ssr", always).map(Math.abs))).toBeGreaterThan(0.01);
    expect(gradientOf("ssr", { ...never, gradient: "detached" })).toEqual(gradientOf("topk", {}));
  });

  it.each([
    ["scores", 0.1],
    ["scores", 0.5],
    ["logits", 1],
  ] as const)("is that of automatic differentiation, with the %s for costs at ε = %d", async (cost, epsilon) => {
    const tf = await loadTensors("cpu");
    const iterations = 5;
    const router = createRouterUnderTest("ssr", shape, {
      options: { ...always, cost, epsilon, maxIterations: iterations, tolerance: 0 },
    });
    const { expert } = router.route(logits);
    const weights = Float32Array.from({ length: 60 }, (_, slot) => Math.sin(slot));
    const gradient = new Float32Array(180);
    router.backward(weights, gradient);
    const chosen = tf.oneHot(tf.tensor2d(expert, [30, 2], "int32"), 6) as Tensor3D;
    const loss = (z: Tensor2D): Scalar => {
      const scaled = tf.div(cost === "scores" ? tf.softmax(z) : z, epsilon) as Tensor2D;
      let plan = tf.softmax(scaled) as Tensor2D;
      for (let sweep = 0; sweep < iterations; sweep++) {
        plan = tf.div(plan, tf.mul(tf.sum(plan, 0, true), 6 / 30));
        plan = tf.div(plan, tf.sum(plan, 1, true));
      }
      const mass = tf.sum(tf.mul(chosen, tf.expandDims(plan, 1)), 2);
      const gates = tf.div(mass, tf.sum(mass, 1, true));
      return tf.sum(tf.mul(gates, tf.tensor2d(weights, [30, 2])));
    };
    const expected = tf
      .grad(loss as (z: Tensor) => Scalar)(tf.tensor2d(logits, [30, 6]))
      .dataSync();
    const largest = Math.max(...expected.map(Math.abs));
    expect(largest).toBeGreaterThan(0.05);
    // TensorFlow.js computes in float32: some hundred roundings of 6e-8 of terms as large as 1/ε.
    expect(largestDifference([Array.from(gradient)], [Array.from(expected)])).toBeLessThan(1e-5 / epsilon);
  });
});

it.each([
  [8, 2048],
  [32, 1024],
  [128, 512],
])("meets its tolerance by default on clusters, with %d experts and %d tokens", async (experts, tokens) => {
  const wide = { tokens, experts, topK: 2, capacityFactor: 1 };
  const router = createRouterUnderTest("ssr", wide, { kernels: createKernels("wasm"), options: always });
  for (const batch of await generate(clustersKind, {}, { steps: 3, tokens, experts })) {
    const { solver } = router.route(batch);
    expect(solver!.converged).toBe(true);
    // Of the plan that it writes, whose entries are float32: an error of up to 6e-8 in each column's share.
    expect(columnError(router.plan())).toBeLessThanOrEqual(1e-4 + 2e-6);
    expect(Math.abs(columnError(router.plan()) - solver!.marginalError)).toBeLessThan(2e-6);
  }
});

describe("ssr on the other steps", () => {
  it.each(["softmax", "sigmoid"] as const)("is plain top-k with %s affinities", (scores) => {
    for (const renormalize of [true, false]) {
      const router = createRouterUnderTest("ssr", shape, { options: { ...never, renormalize }, scores });
      const plain = createRouterUnderTest("topk", shape, { options: { renormalize }, scores });
      expect(router.route(logits)).toEqual(plain.route(logits));
    }
  });

  it.each(["softmax", "sigmoid"] as const)("writes the %s affinities divided by their sum as the plan", (scores) => {
    const router = createRouterUnderTest("ssr", shape, { options: never, scores });
    router.route(logits);
    const expected = affinities(rows, scores).map(normalised);
    expect(largestDifference(router.plan(), expected)).toBeLessThan(gateTolerance);
  });

  it("writes a plan with rows that sum to 1 even where all sigmoids underflow", () => {
    const one = { tokens: 1, experts: 2, topK: 1, capacityFactor: 1 };
    const router = createRouterUnderTest("ssr", one, { options: never, scores: "sigmoid" });
    router.route(Float32Array.of(-1e4, -1e4));
    expect(router.plan()).toEqual([[0.5, 0.5]]);
  });
});

describe("ssr's selection of steps", () => {
  it("selects each step with probability p, by the router's own random numbers and no others", () => {
    const random = createRandom("own");
    const expected = Array.from({ length: 300 }, (_, step) => ({ step, draw: random.uniform() }))
      .filter(({ draw }) => draw < 0.3)
      .map(({ step }) => step);
    expect(selectedSteps({ mode: "probability", p: 0.3 }, 300, { seed: "own" })).toEqual(expected);
    expect(selectedSteps({ mode: "probability", p: 0.3 }, 300, { seed: "other" })).not.toEqual(expected);
    // Five standard errors of a binomial: √(300 · 0.3 · 0.7) ≈ 8.
    expect(Math.abs(expected.length - 90)).toBeLessThan(40);
  });

  it("selects one step in a hundred unless told otherwise", () => {
    const router = createRouterUnderTest("ssr", shape, { seed: "own" });
    const ran = Array.from({ length: 2000 }, () => router.route(logits).solver !== undefined);
    expect(ran.flatMap((selected, step) => (selected ? [step] : []))).toEqual(
      selectedSteps({ mode: "probability", p: 0.01 }, 2000, { seed: "own" }),
    );
    // Four standard errors of a binomial: √(2000 · 0.01 · 0.99) ≈ 4.5.
    expect(Math.abs(ran.filter(Boolean).length - 20)).toBeLessThan(18);
  });

  it("selects no step with p = 0 and every step with p = 1", () => {
    expect(selectedSteps({ mode: "probability", p: 0 }, 20)).toEqual([]);
    expect(selectedSteps({ mode: "probability", p: 1 }, 20)).toHaveLength(20);
  });

  it("selects every n-th step from step 0 on", () => {
    expect(selectedSteps({ mode: "every", n: 4 }, 10)).toEqual([0, 4, 8]);
  });

  it("selects the first steps of the stream", () => {
    expect(selectedSteps({ mode: "first", steps: 3 }, 10)).toEqual([0, 1, 2]);
  });

  it("counts the stream's steps, not its own batches", () => {
    // The run begins at step 2: steps 3 and 6 are its batches 1 and 4.
    expect(selectedSteps({ mode: "every", n: 3 }, 6, { firstStep: 2 })).toEqual([1, 4]);
    expect(selectedSteps({ mode: "first", steps: 3 }, 6, { firstStep: 2 })).toEqual([0]);
  });

  it("selects a step only when the batch before was less balanced than the threshold", () => {
    const even = randomLogits("even", shape.tokens, shape.experts, 1);
    const uneven = skewedLogits("uneven", shape.tokens, shape.experts, 3);
    const threshold = 0.6;
    const router = createRouterUnderTest("ssr", shape, {
      options: { cost: "logits", epsilon: 1, select: { mode: "threshold", maxVio: threshold } },
    });
    let last: number | null = null;
    const selected = [uneven, uneven, uneven, even, even, uneven, uneven, even].map((batch) => {
      const { load, solver } = router.route(batch);
      expect(solver !== undefined).toBe(last !== null && last > threshold);
      last = maxVio(load);
      return solver !== undefined;
    });
    // Top-k on the uneven batches is above the threshold, the plan's choice and the even batches are below.
    expect(selected).toEqual([false, true, false, true, false, false, true, false]);
  });

  it("keeps the last balance in its state", () => {
    const options = { select: { mode: "threshold", maxVio: 0.6 } };
    const uneven = skewedLogits("uneven", shape.tokens, shape.experts, 3);
    const first = createRouterUnderTest("ssr", shape, { options });
    first.route(uneven);
    const second = createRouterUnderTest("ssr", shape, { options });
    second.router.restore(JSON.parse(JSON.stringify(first.router.state())));
    expect(second.route(uneven).solver).toBeDefined();
  });
});
