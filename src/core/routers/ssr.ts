import { z } from "zod";
import type { ScoreKind } from "../assignment.ts";
import { maxVio } from "../metrics/load.ts";
import { excludeDisabled, type TokenBatch } from "../token-batch.ts";
import { createEntropicSolver, entropicFields } from "../transport/entropic/entropic.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createPlanSelection } from "./parts/plan-selection.ts";
import { createScoreGates, meanGateGradient, scoreGateFields } from "./parts/score-gates.ts";
import { createScoreGradient, logScore } from "./parts/score-gradient.ts";
import { randomStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind, type RouterContext } from "./router.ts";

const selectOption = z
  .discriminatedUnion("mode", [
    z.strictObject({
      mode: z.literal("probability"),
      p: z.number().min(0).max(1).default(0.01).describe("Chance that a step is selected."),
    }),
    z.strictObject({
      mode: z.literal("every"),
      n: z.number().int().positive().default(10).describe("Steps 0, n, 2n, … are selected."),
    }),
    z.strictObject({
      mode: z.literal("first"),
      steps: z.number().int().nonnegative().default(100).describe("Steps 0 … steps − 1 are selected."),
    }),
    z.strictObject({
      mode: z.literal("threshold"),
      maxVio: z
        .number()
        .nonnegative()
        .default(0.5)
        .describe("A step is selected if max load / mean load − 1 of the previous batch was above this."),
    }),
  ])
  .default({ mode: "probability", p: 0.01 })
  .describe("Which steps are routed by the transport plan.");

const ssrOptions = z.strictObject({
  select: selectOption,
  cost: z
    .enum(["scores", "logits"])
    .default("scores")
    .describe(
      "What the plan of a selected step maximises: softmax(Z), whatever affinities the router has (the paper's SSR-S), or the " +
        "logits Z themselves (SSR-L).",
    ),
  noise: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Standard deviation of the normal noise on each entry of the cost, in its units; 0 for none."),
  gradient: z
    .enum(["plan", "detached"])
    .default("plan")
    .describe(
      "What a gate in training learns from a selected step: the gradient through the plan and the iterations that led to it, " +
        "or nothing, because the plan is held fixed.",
    ),
  ...entropicFields({ epsilon: 0.05, unit: "the cost", maxIterations: 100 }),
  ...scoreGateFields(true),
});

type SsrOptions = z.infer<typeof ssrOptions>;

const noiseWords = 16;

const ssrState = z.strictObject({
  random: randomStateSchema,
  /** MaxVio of the last batch, null before the first. */
  lastMaxVio: z.number().nullable(),
  /** State of the noise's generator; absent without noise. */
  noise: z.array(z.number().int().nonnegative()).length(noiseWords).optional(),
});

/**
 * Writes the affinities' rows divided by their sums into `plan` `[tokens × experts]`; logits, which can be negative, as a
 * softmax. In the log domain, so that rows whose affinities all underflow still sum to 1. A token with every expert
 * disabled has a row of 0.
 */
function writeNormalisedAffinities(batch: TokenBatch, scores: ScoreKind, plan: Float32Array): void {
  const { logits, tokens, experts } = batch;
  const logAffinity = new Float64Array(experts);
  for (let row = 0; row < tokens * experts; row += experts) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let e = 0; e < experts; e++) {
      logAffinity[e] = logScore(logits[row + e], scores);
      largest = Math.max(largest, logAffinity[e]);
    }
    if (largest === Number.NEGATIVE_INFINITY) {
      plan.fill(0, row, row + experts);
      continue;
    }
    let sum = 0;
    for (let e = 0; e < experts; e++) sum += Math.exp(logAffinity[e] - largest);
    for (let e = 0; e < experts; e++) plan[row + e] = Math.exp(logAffinity[e] - largest) / sum;
  }
}

/** The matrix C whose transport plan a selected step follows. */
interface PlanCost {
  /** Writes C of `batch` and returns the batch with C `[tokens × experts]` for its logits; −∞ for disabled experts. */
  write(batch: TokenBatch): TokenBatch;
  /** Propagates `costGradient` `[tokens × experts]`, ∂loss/∂C, to Z: adds ∂loss/∂Z to `logitGradient` `[tokens × experts]`. */
  addGradient(batch: TokenBatch, costGradient: Float32Array, logitGradient: Float32Array): void;
  /** `[16]`, the state of the noise's generator. */
  readonly noise: Uint32Array;
}

/**
 * C = softmax(Z) or Z, plus noise · ξ with ξ_te ~ N(0, 1). The softmax is computed in float64 and rounded once, because the
 * plan magnifies its error by 1/ε. The noise has its own random source, so that it does not change which steps are selected.
 */
function createPlanCost(
  { kernels, shape, random }: Pick<RouterContext, "kernels" | "shape" | "random">,
  { cost, noise: deviation }: Pick<SsrOptions, "cost" | "noise">,
): PlanCost {
  const { tokens: mostTokens, experts } = shape;
  const ofScores = cost === "scores";
  const values = kernels.allocateFloat32(ofScores || deviation > 0 ? mostTokens * experts : 0);
  const softmax = kernels.allocateFloat64(ofScores ? mostTokens * experts : 0);
  const noise = kernels.allocateUint32(noiseWords);
  const noiseSource = random.derive("noise");
  for (let word = 0; word < noiseWords; word++) noise[word] = noiseSource.uint32();
  const gradient = createScoreGradient(experts, "softmax");
  return {
    noise,
    write(batch) {
      const { logits, tokens } = batch;
      const count = tokens * experts;
      if (!ofScores && deviation === 0) return batch;
      if (ofScores) {
        kernels.affinities(logits, "softmax", tokens, experts, softmax);
        excludeDisabled(batch, softmax);
        for (let entry = 0; entry < count; entry++) values[entry] = softmax[entry];
      }
      if (deviation > 0) kernels.addNormal(noise, ofScores ? values : logits, deviation, count, values);
      return { ...batch, logits: values };
    },
    addGradient({ logits, tokens }, costGradient, logitGradient) {
      for (let row = 0; row < tokens * experts; row += experts) {
        if (ofScores) {
          for (let e = 0; e < experts; e++) gradient.ofScores[e] = costGradient[row + e];
          gradient.addRow(logits, row, logitGradient);
        } else {
          for (let e = 0; e < experts; e++) logitGradient[row + e] += costGradient[row + e];
        }
      }
    },
  };
}

/**
 * Selective Sinkhorn routing: a transport plan on some steps, plain top-k on the others.
 *
 *     selected step:  C        = softmax(Z) or Z, plus noise · ξ, ξ_te ~ N(0, 1)
 *                     P        = argmax ⟨C, P⟩ + ε·H(P) with rows 1 and columns T/E     (see `entropic.ts`)
 *                     expert_t = the K largest of P_t
 *                     gate_t   = P_t[expert_t] divided by its sum, times `gateScale`
 *     other steps:    expert_t = the K largest of S_t
 *                     gate_t   = S_t[expert_t], divided by its sum when `renormalize`, times `gateScale`
 *
 * With `gradient: plan`, `backward` of a selected step differentiates the plan, including the sweeps or Newton steps that
 * computed it: with x = C/ε + g the gates are a softmax of x over the selected, and the gradient of g reaches all costs of
 * the batch (see `EntropicSolver.backward`), and through them the logits. The noise is held fixed. With `detached` the gates
 * of a selected step are constants, so the gate does not learn from it.
 *
 * Steps are the stream's. With `probability` one number is drawn on every step, selected or not. With `threshold` the first
 * step is not selected. At inference no step is selected.
 */
export const ssrKind = defineRouterKind({
  kind: "ssr",
  summary: "the entropic plan on selected steps, plain top-k on the others",
  source: "Selective Sinkhorn Routing, arXiv 2511.08972, eq. 3-6 and algorithm 2",
  options: ssrOptions,
  plan: "entropic",
  create(context, options) {
    const { shape, scores, kernels, random } = context;
    const { experts, topK } = shape;
    const { select, noise, gradient, epsilon, gateScale } = options;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    const cost = createPlanCost(context, options);
    const potentialGradient = new Float64Array(experts);
    const transport = createEntropicSolver(kernels, shape.tokens, experts, options);
    const selection = createPlanSelection(kernels, shape, epsilon);
    let costGradient = new Float32Array(0);
    let lastMaxVio: number | null = null;
    /** The last batch with its costs; null if it was not selected. */
    let planned: TokenBatch | null = null;

    function isSelected(step: number): boolean {
      switch (select.mode) {
        case "probability":
          return random.uniform() < select.p;
        case "every":
          return step % select.n === 0;
        case "first":
          return step < select.steps;
        case "threshold":
          return lastMaxVio !== null && lastMaxVio > select.maxVio;
      }
    }

    function routePlain(batch: TokenBatch): void {
      kernels.selectTopK(batch.logits, scores, null, batch.tokens, experts, topK, expert, load);
      gates.write(batch, assignment);
    }

    function addPlanGradient(batch: TokenBatch, gateGradient: Float32Array, logitGradient: Float32Array): void {
      if (costGradient.length === 0) costGradient = new Float32Array(shape.tokens * experts);
      costGradient.fill(0);
      potentialGradient.fill(0);
      for (let token = 0; token < batch.tokens; token++) {
        const first = token * topK;
        const mean = meanGateGradient(gate, gateGradient, first, first + topK);
        for (let slot = first; slot < first + topK; slot++) {
          if (expert[slot] < 0) continue;
          const slope = gate[slot] * (gateGradient[slot] - mean);
          costGradient[token * experts + expert[slot]] += slope / epsilon;
          potentialGradient[expert[slot]] += slope;
        }
      }
      transport.backward(planned!, potentialGradient, costGradient);
      cost.addGradient(batch, costGradient, logitGradient);
    }

    return {
      route(batch) {
        if (!isSelected(batch.step)) {
          planned = null;
          routePlain(batch);
          lastMaxVio = maxVio(load);
          return { assignment };
        }
        planned = cost.write(batch);
        const solution = transport.solve(planned);
        const { iterations, marginalError, converged } = solution;
        selection.select(planned, solution, expert, load, gate);
        if (gateScale !== 1) for (let pair = 0; pair < batch.tokens * topK; pair++) gate[pair] *= gateScale;
        lastMaxVio = maxVio(load);
        return { assignment, solver: { iterations, marginalError, converged } };
      },
      /** Plain top-k of S: no step is selected. */
      routeAtInference(batch) {
        routePlain(batch);
        return assignment;
      },
      writePlan(batch, plan) {
        if (planned !== null) transport.writePlan(planned, plan);
        else writeNormalisedAffinities(batch, scores, plan);
      },
      backward(batch, gateGradient, logitGradient) {
        if (planned === null) gates.addGradient(batch, assignment, gateGradient, logitGradient);
        else if (gradient === "plan") addPlanGradient(batch, gateGradient, logitGradient);
      },
      state: () => ({
        random: random.state(),
        lastMaxVio,
        ...(noise > 0 && { noise: Array.from(cost.noise) }),
      }),
      restore(state) {
        const saved = ssrState.parse(state);
        random.restore(saved.random);
        lastMaxVio = saved.lastMaxVio;
        if (saved.noise !== undefined) cost.noise.set(saved.noise);
      },
    };
  },
});
