import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import { expertCapacity, type RoutingShape, type ScoreKind } from "../../../src/core/assignment.ts";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createRandom } from "../../../src/core/random.ts";
import { type ScotOptions, scotKind } from "../../../src/core/routers/scot.ts";
import { createSparseRowsSolver } from "../../../src/core/transport/sparse/sparse-rows.ts";
import { createSparsityConstrainedSolver } from "../../../src/core/transport/sparse/sparsity-constrained.ts";
import { backends } from "../../support/backends.ts";
import {
  type GateTwin,
  massGates,
  planGates,
  projectedGates,
  scoreGates,
  shiftedGates,
  switchLoss,
} from "../../support/gate-twins.ts";
import { affinities, largestDifference, type Matrix, normalised, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest, type Decision, type RouterSetting } from "../../support/router-under-test.ts";

// Gates are float32: half a unit in the last place of numbers below 1, and the kernels' relative error of 1e-6.
const gateTolerance = 2e-6;

/** A router that has routed `logits` last, and what it decided. */
interface Routed {
  readonly rows: Matrix;
  readonly decision: Decision;
  readonly state: { readonly [field: string]: unknown };
}

interface Case {
  readonly kind: string;
  readonly title: string;
  readonly shape: RoutingShape;
  readonly setting: RouterSetting;
  readonly twin: (routed: Routed) => GateTwin;
  /** The router's own loss. */
  readonly ownLoss?: (routed: Routed) => (logits: Matrix) => number;
  /** Batches before, each with a gradient of its own. */
  readonly before?: number;
  /** ε, or what else the logits are divided by: slopes grow as the inverse. */
  readonly unit?: number;
  /** Of the gates; {@link gateTolerance} unless the twin's constants are known less precisely. */
  readonly accuracy?: number;
  /** One gate that is 1 whatever the logits. */
  readonly vanishes?: boolean;
}

/** Numbers between −1 and 1 that float32 holds. */
function randomWeights(seed: string, length: number): Float32Array {
  const generator = seedrandom(seed);
  return Float32Array.from({ length }, () => 2 * generator() - 1);
}

/** ∂f/∂logits by central differences. */
function differences(f: (logits: Matrix) => number, logits: Matrix, step: number): Matrix {
  const at = logits.map((row) => [...row]);
  return at.map((row) =>
    row.map((logit, e) => {
      row[e] = logit + step;
      const above = f(at);
      row[e] = logit - step;
      const below = f(at);
      row[e] = logit;
      return (above - below) / (2 * step);
    }),
  );
}

/** Expects of the router that its gates are the twin's, and that it adds the twin's numerical slopes. */
function expectGradient(kernels: Kernels, { kind, shape, setting, twin, ownLoss, ...rest }: Case): void {
  const { before = 0, unit = 1, accuracy = gateTolerance, vanishes = false } = rest;
  const router = createRouterUnderTest(kind, shape, { ...setting, kernels });
  for (let step = 0; step < before; step++) {
    const { expert } = router.route(skewedLogits(`${kind} before ${step}`, shape.tokens, shape.experts, 1.5));
    const slopes = randomWeights(`${kind} slopes ${step}`, shape.tokens * expert[0].length);
    router.backward(slopes, new Float32Array(shape.tokens * shape.experts));
  }
  // One token fewer than the router was made for.
  const tokens = shape.tokens - 1;
  const logits = skewedLogits(kind, tokens, shape.experts, 1.5);
  const rows = toMatrix(logits, tokens, shape.experts);
  const state = router.router.state();
  const decision = router.route(logits);
  const routed = { rows, decision, state };
  const gatesAt = twin(routed);
  expect(largestDifference(gatesAt(rows, decision.expert), decision.gate)).toBeLessThan(accuracy);

  const slots = decision.expert[0].length;
  const weights = randomWeights(`${kind} weights`, tokens * slots);
  const weightRows = toMatrix(weights, tokens, slots);
  const ownLossAt = ownLoss?.(routed);
  const loss = (at: Matrix) => {
    let sum = ownLossAt?.(at) ?? 0;
    gatesAt(at, decision.expert).forEach((row, t) => {
      row.forEach((gate, slot) => {
        if (decision.expert[t][slot] >= 0) sum += gate * weightRows[t][slot];
      });
    });
    return sum;
  };
  const start = randomWeights(`${kind} start`, tokens * shape.experts);
  const gradient = start.slice();
  // What stands beside a slot without an expert is to be ignored.
  router.backward(
    weights.map((weight, slot) => (decision.expert.flat()[slot] < 0 ? Number.NaN : weight)),
    gradient,
  );
  const added = toMatrix(
    Float64Array.from(gradient, (value, entry) => value - start[entry]),
    tokens,
    shape.experts,
  );
  const expected = differences(loss, rows, 1e-5 * unit);
  // Weights are below 1, so that slopes are a few gates' differences at most, over ε: five times the gates' error. The
  // differences add about 1e-9: the step's square, and 2⁻⁵³ over the step for each of some ten terms.
  expect(largestDifference(added, expected)).toBeLessThan((5 * accuracy) / unit);
  const largest = Math.max(...expected.flat().map(Math.abs));
  if (vanishes) expect(Math.max(...added.flat().map(Math.abs))).toBe(0);
  else expect(largest, "the largest slope").toBeGreaterThan(0.02);
}

const shapes: RoutingShape[] = [
  { tokens: 9, experts: 4, topK: 1, capacityFactor: 1 },
  { tokens: 8, experts: 6, topK: 2, capacityFactor: 1.25 },
  { tokens: 7, experts: 8, topK: 4, capacityFactor: 1 },
];
const scoreKinds = ["softmax", "sigmoid"] as const;

const titleOf = (shape: RoutingShape, scores: ScoreKind, options: object) =>
  `${scores}, K = ${shape.topK}, ${JSON.stringify(options)}`;

/** Cases of a kind whose gates are affinities, divided by their sum or not. */
function scoreCases(kind: string, options: object, rest: Partial<Case> = {}): Case[] {
  return shapes.flatMap((shape) =>
    scoreKinds.flatMap((scores) =>
      [true, false].map((renormalize) => ({
        kind,
        title: titleOf(shape, scores, { ...options, renormalize }),
        shape,
        setting: { scores, options: { ...options, renormalize } },
        twin: () => scoreGates(scores, renormalize),
        vanishes: renormalize && shape.topK === 1,
        ...rest,
      })),
    ),
  );
}

/** Cases of a kind whose gates are affinities as they are. */
function rawScoreCases(kind: string): Case[] {
  return shapes.flatMap((shape) =>
    scoreKinds.map((scores) => ({
      kind,
      title: titleOf(shape, scores, {}),
      shape,
      setting: { scores },
      twin: () => scoreGates(scores, false),
    })),
  );
}

function noisyCase(shape: RoutingShape): Case {
  return {
    kind: "noisy-topk",
    title: `K = ${shape.topK}`,
    shape,
    setting: { seed: "noise", options: { noiseScale: 0.5 } },
    twin({ rows }) {
      // The noise that the router drew first.
      const random = createRandom("noise");
      const generator = Uint32Array.from({ length: 16 }, () => random.uint32());
      const noise = new Float32Array(rows.length * shape.experts);
      backends[0].fillNormal(generator, noise, noise.length);
      const deviation = Math.log(1 + Math.exp(0.5));
      const shift = toMatrix(noise, rows.length, shape.experts).map((row) => row.map((value) => deviation * value));
      return shiftedGates(shift, scoreGates("softmax", true));
    },
    vanishes: shape.topK === 1,
  };
}

/** Offsets learned from a few batches, or the loss itself where a gate is trained. */
function auxLossCases(trained: boolean): Case[] {
  const coefficient = 1;
  return scoreCases("aux-loss", { coefficient, learningRate: 2 }).map((scored) => ({
    ...scored,
    title: `${scored.title}${trained ? ", trained" : ""}`,
    setting: { ...scored.setting, trained },
    before: 3,
    twin(routed) {
      const { offset } = routed.state as { offset: number[] };
      if (trained) expect(offset.every((value) => value === 0)).toBe(true);
      else expect(Math.max(...offset.map(Math.abs))).toBeGreaterThan(0.1);
      return shiftedGates(
        routed.rows.map(() => offset),
        scored.twin(routed),
      );
    },
    ...(trained && {
      ownLoss: ({ decision }: Routed) => {
        const fraction = normalised(decision.load);
        return (logits: Matrix) => switchLoss(logits, fraction, coefficient, scored.setting.scores);
      },
      vanishes: false,
    }),
  }));
}

const everyStep = { select: { mode: "every", n: 1 } };

/** SSR on selected steps, its gates those of as many sweeps as its solver reports. */
function ssrCases(): Case[] {
  const terms: { epsilon: number; maxIterations: number; tolerance: number; solver?: "sns"; cost?: "scores" }[] = [
    { epsilon: 1, maxIterations: 0, tolerance: 0 },
    { epsilon: 1, maxIterations: 1, tolerance: 0 },
    { epsilon: 0.3, maxIterations: 3, tolerance: 1e-4 },
    { epsilon: 2, maxIterations: 3, tolerance: 0 },
    { epsilon: 0.5, maxIterations: 20, tolerance: 0 },
    { epsilon: 1, maxIterations: 20, tolerance: 1e-2 },
    { epsilon: 0.3, maxIterations: 3, tolerance: 1e-4, solver: "sns" },
    { cost: "scores", epsilon: 0.05, maxIterations: 0, tolerance: 0 },
    { cost: "scores", epsilon: 0.05, maxIterations: 3, tolerance: 0 },
    { cost: "scores", epsilon: 0.2, maxIterations: 20, tolerance: 0 },
  ];
  return terms.flatMap((options) =>
    shapes.map((shape) => ({
      kind: "ssr",
      title: titleOf(shape, "softmax", options),
      shape,
      setting: { options: { ...everyStep, cost: "logits", ...options } },
      before: 1,
      unit: Math.min(1, options.epsilon),
      // Exponents of up to 20, see `Kernels.gibbsSweep`.
      ...(options.cost === "scores" && { accuracy: 2 * gateTolerance }),
      twin({ decision }) {
        const { iterations } = decision.solver!;
        if (options.tolerance === 1e-2) expect(iterations).toBeLessThan(options.maxIterations);
        else expect(iterations).toBe(options.maxIterations);
        const gates = planGates(options.epsilon, iterations);
        return options.cost === "scores" ? (at, expert) => gates(affinities(at, "softmax"), expert) : gates;
      },
      vanishes: shape.topK === 1,
    })),
  );
}

/** SSR whose plan Newton steps balanced. */
function newtonCases(): Case[] {
  return [0.3, 0.2].flatMap((epsilon) =>
    shapes.slice(1).map((shape) => ({
      kind: "ssr",
      title: titleOf(shape, "softmax", { solver: "sns", epsilon }),
      shape,
      setting: {
        options: { ...everyStep, cost: "logits", solver: "sns", epsilon, maxIterations: 200, tolerance: 1e-10 },
      },
      unit: epsilon,
      twin: () => planGates(epsilon, 300),
    })),
  );
}

const scotShape = { tokens: 21, experts: 5, topK: 2, capacityFactor: 1.25 };

/** Its masses are those of a solver of the same problem, before their rows were divided by their sums. */
function scotCase(scores: ScoreKind, own: Partial<ScotOptions>, hasEmptyRows = false): Case {
  const shape = scotShape;
  const options = { gates: "plan", ...own } as const;
  const { cost, fallback, maxTokens, gateScale, ...terms } = scotKind.options.parse(options) as ScotOptions;
  return {
    kind: "scot",
    title: titleOf(shape, scores, options),
    shape,
    setting: { scores, options },
    unit: terms.gamma,
    // The affinities that the router's kernels compute have a relative error of 1e-6, and masses are these over γ.
    accuracy: gateTolerance / Math.min(1, terms.gamma),
    twin({ rows }) {
      const k = maxTokens === "capacity" ? expertCapacity(rows.length, shape) : maxTokens;
      const affinity = Float32Array.from((cost === "logits" ? rows : affinities(rows, scores)).flat());
      const solver = createSparsityConstrainedSolver(backends[0], rows.length, shape.experts, k, terms);
      const { columnStart, token, mass, rowSum } = solver.solve({ affinity, tokens: rows.length, maxTokens: k }).plan;
      expect(rowSum.some((sum) => sum === 0)).toBe(hasEmptyRows);
      const masses = rows.map((row) => row.map(() => 0));
      for (let e = 0; e < shape.experts; e++) {
        for (let i = columnStart[e]; i < columnStart[e + 1]; i++) masses[token[i]][e] = mass[i] * rowSum[token[i]];
      }
      const gates = massGates(masses, rows, terms.gamma, cost === "logits" ? cost : scores, scoreGates(scores, true));
      return (at, expert) => gates(at, expert).map((row) => row.map((gate) => gateScale * gate));
    },
  };
}

/** The prices are those of a solver of the same problem. */
function scotRowsCase(scores: ScoreKind, own: Partial<ScotOptions>): Case {
  const shape = { ...scotShape, topK: 3 };
  const options = { sparsity: "tokens", gates: "plan", ...own } as const;
  const { cost, ...terms } = scotKind.options.parse(options) as ScotOptions;
  return {
    kind: "scot",
    title: titleOf(shape, scores, options),
    shape,
    setting: { scores, options },
    unit: terms.gamma,
    accuracy: gateTolerance / Math.min(1, terms.gamma),
    twin({ rows }) {
      const [reference] = backends;
      const affinity = reference.allocateFloat32(rows.length * shape.experts);
      affinity.set((cost === "logits" ? rows : affinities(rows, scores)).flat());
      const solver = createSparseRowsSolver(reference, rows.length, shape.experts, shape.topK, terms);
      const { potential } = solver.solve({ affinity, tokens: rows.length });
      return projectedGates(Array.from(potential), terms.gamma, cost === "logits" ? cost : scores);
    },
  };
}

const cases: Case[] = [
  ...scoreCases("topk", {}),
  ...scoreCases("grouped-topk", { groups: 2, topGroups: 1, updateRate: 0.2 }, { before: 3 }),
  ...scoreCases("alf-lb", { updateRate: 0.2 }, { before: 3 }),
  ...scoreCases("sinkhorn", {}),
  ...scoreCases("ssr", { select: { mode: "first", steps: 0 } }),
  ...rawScoreCases("expert-choice"),
  ...rawScoreCases("base"),
  ...shapes.map(noisyCase),
  ...auxLossCases(false),
  ...auxLossCases(true),
  ...ssrCases(),
  ...newtonCases(),
  ...scoreCases("scot", { maxIterations: 3 }),
  ...scoreCases("scot", { sparsity: "tokens", solver: "adam", maxIterations: 20 }),
  scotRowsCase("softmax", { gamma: 0.5, solver: "adam", maxIterations: 20 }),
  scotRowsCase("sigmoid", { gamma: 5, solver: "adam", maxIterations: 20 }),
  scotRowsCase("softmax", { cost: "logits", gamma: 8, solver: "adam", maxIterations: 20 }),
  scotCase("softmax", {}),
  scotCase("softmax", { gateScale: 2.5 }),
  scotCase("sigmoid", { gamma: 0.2 }),
  scotCase("softmax", { cost: "logits", gamma: 3 }),
  // Far from its marginals, so that rows are divided by sums that are not 1.
  scotCase("softmax", { maxIterations: 1, gamma: 0.3 }),
  scotCase("softmax", { maxIterations: 0, gamma: 0.1 }, true),
  scotCase("sigmoid", { maxIterations: 0, gamma: 0.1, maxTokens: 5 }, true),
  scotCase("softmax", { maxIterations: 0, gamma: 0.1, fallback: "none" }, true),
];

describe.each(backends.map((kernels) => ({ backend: kernels.backend, kernels })))(
  "the gradient through the gates, on $backend kernels, is that of central differences",
  ({ kernels }) => {
    it.each(cases)("of $kind with $title", (one) => expectGradient(kernels, one));

    it.each(["sinkhorn", "sns"])("is finite for logits of 1e4 and any ε of ssr, with %s", (solver) => {
      const shape = { tokens: 8, experts: 5, topK: 2, capacityFactor: 1 };
      const generator = seedrandom("extreme");
      for (const epsilon of [1e-3, 0.1, 1]) {
        const options = { ...everyStep, solver, epsilon, maxIterations: 100, noise: epsilon };
        for (let trial = 0; trial < 20; trial++) {
          const cost = trial % 2 === 0 ? "scores" : "logits";
          const router = createRouterUnderTest("ssr", shape, { kernels, options: { ...options, cost } });
          router.route(Float32Array.from({ length: 40 }, () => [-1e4, -1, 0, 1, 88, 1e4][Math.floor(6 * generator())]));
          const gradient = new Float32Array(40);
          router.backward(randomWeights("extreme", 16), gradient);
          expect(gradient.every(Number.isFinite)).toBe(true);
        }
      }
    });
  },
);
