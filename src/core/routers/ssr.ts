import { z } from "zod";
import type { ScoreKind } from "../assignment.ts";
import { maxVio } from "../metrics/load.ts";
import type { TokenBatch } from "../token-batch.ts";
import { createEntropicSolver, entropicFields } from "../transport/entropic/entropic.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createPlanSelection } from "./parts/plan-selection.ts";
import { createScoreGates, meanGateGradient, scoreGateFields } from "./parts/score-gates.ts";
import { logScore } from "./parts/score-gradient.ts";
import { randomStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const selectOption = z
  .discriminatedUnion("mode", [
    z.strictObject({
      mode: z.literal("probability"),
      p: z.number().min(0).max(1).default(0.1).describe("Chance that a step is selected."),
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
        .describe("A step is selected when max load / mean load − 1 of the batch before was above this."),
    }),
  ])
  .default({ mode: "probability", p: 0.1 })
  .describe("Which steps are routed by the transport plan.");

const ssrOptions = z.strictObject({
  select: selectOption,
  ...entropicFields({ maxIterations: 100 }),
  ...scoreGateFields(true),
});

const ssrState = z.strictObject({
  random: randomStateSchema,
  /** MaxVio of the last batch, null before the first. */
  lastMaxVio: z.number().nullable(),
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

/**
 * Selective Sinkhorn routing: a transport plan on some steps is enough to keep the experts balanced.
 *
 *     selected step:  P        = entropic plan of Z                        (see `entropic.ts`)
 *                     expert_t = the K largest of P_t
 *                     gate_t   = P_t[expert_t] divided by its sum, times `gateScale`
 *     other steps:    expert_t = the K largest of S_t
 *                     gate_t   = S_t[expert_t], divided by its sum when `renormalize`, times `gateScale`
 *
 * `backward` of a selected step goes through the plan, the sweeps or Newton steps that led to it included: with x = Z/ε
 * + g the gates are softmax of x over the selected, and what x owes to g goes on to all logits of the batch (see
 * `EntropicSolver.backward`).
 *
 * Steps are those of the stream. With `probability` one number is drawn on every step, selected or not; with `threshold`
 * the first batch has no batch before it and is not selected.
 */
export const ssrKind = defineRouterKind({
  kind: "ssr",
  summary: "the entropic plan on selected steps, plain top-k on the others",
  source: "Selective Sinkhorn Routing, arXiv 2511.08972",
  options: ssrOptions,
  plan: "entropic",
  create({ shape, scores, kernels, random }, options) {
    const { experts, topK } = shape;
    const { select, epsilon, gateScale } = options;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    const potentialGradient = new Float64Array(experts);
    const transport = createEntropicSolver(kernels, shape.tokens, experts, options);
    const selection = createPlanSelection(kernels, shape, epsilon);
    let lastMaxVio: number | null = null;
    let lastWasSelected = false;

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

    function addPlanGradient(batch: TokenBatch, gateGradient: Float32Array, logitGradient: Float32Array): void {
      potentialGradient.fill(0);
      for (let token = 0; token < batch.tokens; token++) {
        const first = token * topK;
        const mean = meanGateGradient(gate, gateGradient, first, first + topK);
        for (let slot = first; slot < first + topK; slot++) {
          if (expert[slot] < 0) continue;
          const slope = gate[slot] * (gateGradient[slot] - mean);
          logitGradient[token * experts + expert[slot]] += slope / epsilon;
          potentialGradient[expert[slot]] += slope;
        }
      }
      transport.backward(batch, potentialGradient, logitGradient);
    }

    return {
      route(batch) {
        const { logits, tokens } = batch;
        lastWasSelected = isSelected(batch.step);
        if (!lastWasSelected) {
          kernels.selectTopK(logits, scores, null, tokens, experts, topK, expert, load);
          gates.write(batch, assignment);
          lastMaxVio = maxVio(load);
          return { assignment };
        }
        const { columnPotential, iterations, marginalError, converged } = transport.solve(batch);
        selection.select(batch, columnPotential, expert, load, gate);
        if (gateScale !== 1) for (let pair = 0; pair < tokens * topK; pair++) gate[pair] *= gateScale;
        lastMaxVio = maxVio(load);
        return { assignment, solver: { iterations, marginalError, converged } };
      },
      writePlan(batch, plan) {
        if (lastWasSelected) transport.writePlan(batch, plan);
        else writeNormalisedAffinities(batch, scores, plan);
      },
      backward(batch, gateGradient, logitGradient) {
        if (lastWasSelected) addPlanGradient(batch, gateGradient, logitGradient);
        else gates.addGradient(batch, assignment, gateGradient, logitGradient);
      },
      state: () => ({ random: random.state(), lastMaxVio }),
      restore(state) {
        const saved = ssrState.parse(state);
        random.restore(saved.random);
        lastMaxVio = saved.lastMaxVio;
      },
    };
  },
});
