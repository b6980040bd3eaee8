import { z } from "zod";
import { expertCapacity } from "../assignment.ts";
import { batchCapacity } from "../token-batch.ts";
import type { SparsePlan } from "../transport/sparse/sparse-plan.ts";
import {
  createDisablingSolver,
  createSparsityConstrainedSolver,
  type SparsityConstrainedSolver,
  sparsityConstrainedFields,
} from "../transport/sparse/sparsity-constrained.ts";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { addNormalisedGateGradient, meanGateGradient } from "./parts/score-gates.ts";
import { createScoreGradient } from "./parts/score-gradient.ts";
import { emptyStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const scotOptions = z.strictObject({
  cost: z
    .enum(["scores", "logits"])
    .default("scores")
    .describe("What the plan maximises: the affinities S or the logits Z; gamma is in units of it."),
  maxTokens: z
    .union([z.literal("capacity"), z.number().int().positive()])
    .default("capacity")
    .describe("Most tokens with mass on an expert; capacity is ⌈capacityFactor · tokens · topK / experts⌉."),
  ...sparsityConstrainedFields,
  fallback: z
    .enum(["topk", "none"])
    .default("topk")
    .describe(
      "Slots that the plan leaves empty: the largest affinities (topk), gated only where a token has no mass at all, or no expert (none).",
    ),
});

export type ScotOptions = z.infer<typeof scotOptions>;

// Masses this close are the same up to the solver's accuracy.
const massTolerance = 1e-5;

/**
 * Routing by the sparsity-constrained transport plan of every batch:
 *
 *     P        = argmin ⟨C, P⟩ + (γ/2)·‖P‖², rows 1, columns T/E, at most k non-zeros a column, C = −S or −Z
 *                (see `sparsity-constrained.ts`)
 *     expert_t = the K largest non-zeros of P_t
 *     gate_t   = P_t[expert_t] divided by its sum
 *
 * Entries that are equal within the solver's accuracy, as the halves of a token that two experts share, are ordered by
 * their affinity and then by the lower index.
 *
 * A row may have fewer than K non-zeros. With `fallback: topk` the other slots get the largest S among the experts left:
 * with gate 0 beside entries of the plan, which gives them no mass, and with the gates of plain top-k, renormalised, when
 * the row is all zero. With `none` they are −1 with gate 0. Loads count every slot that has an expert, and so are within
 * k only where the plan fills the slots.
 *
 * The default γ = 1 does that: entries of a row differ by less than the differences of S, which are below 1, so nearly
 * every row has its K entries. A smaller γ gathers rows on one expert. Logits as cost want a γ of their own range.
 *
 * `backward` takes the potentials of the plan for constants, those of the token α_t as those of the experts τ_e: the
 * dual has kinks where the cardinality binds, and no derivative there. With A = S or Z as `cost` says, the masses P_te
 * = [α_t + A_te − τ_e]_+ / γ before rows are divided by their sums, and w = gateGradient,
 *
 *     ∂loss/∂A_t,expert_s = (w_ts − Σ_r gate_tr·w_tr) / (γ · Σ_r P_t,expert_r)      of slots with mass, 0 of the others
 *
 * A token with plain top-k's gates has their gradient.
 *
 * The plan written has rows that sum to 1: a row that is all zero is written as plain top-k's gates.
 */
export const scotKind = defineRouterKind({
  kind: "scot",
  summary: "K largest non-zeros of each row of the sparsity-constrained transport plan",
  source: "Liu, Puigcerver & Blondel 2022, arXiv 2209.15466",
  options: scotOptions,
  relativeCost: 500,
  plan: "sparsity-constrained",
  check({ maxTokens }, { tokens, experts }) {
    if (maxTokens === "capacity" || maxTokens * experts >= tokens) return [];
    const message = `must be at least tokens / experts = ${tokens / experts}, or a column cannot hold its mass; got ${maxTokens}`;
    return [{ path: ["maxTokens"], message }];
  },
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const plain = createAssignmentBuffers(kernels, shape);
    const affinity = kernels.allocateFloat32(options.cost === "scores" ? shape.tokens * experts : 0);
    let disabling: SparsityConstrainedSolver | undefined;
    const maxTokensOf = (tokens: number) =>
      options.maxTokens === "capacity" ? expertCapacity(tokens, shape) : options.maxTokens;
    const transport = createSparsityConstrainedSolver(shape.tokens, experts, maxTokensOf(shape.tokens), options);
    const slotMass = new Float64Array(shape.tokens * topK);
    let lastPlan: SparsePlan | undefined;
    const { ofScores, addRow } = createScoreGradient(experts, scores);

    /** Whether `mass` of expert e is to stand before the slot: more mass, and where that is the same a higher affinity. */
    function precedes(e: number, mass: number, slot: number, affinities: Float32Array, row: number): boolean {
      const difference = mass - slotMass[slot];
      if (Math.abs(difference) > massTolerance || expert[slot] < 0) return difference > 0;
      return affinities[row + e] > affinities[row + expert[slot]];
    }

    /** Inserts the entries of the plan into their tokens' slots, in descending order, ties to the lower expert. */
    function selectFromPlan({ columnStart, token, mass }: SparsePlan, affinities: Float32Array): void {
      for (let e = 0; e < experts; e++) {
        for (let entry = columnStart[e]; entry < columnStart[e + 1]; entry++) {
          const row = token[entry] * experts;
          const first = token[entry] * topK;
          let slot = first + topK;
          while (slot > first && precedes(e, mass[entry], slot - 1, affinities, row)) {
            slot -= 1;
            if (slot + 1 === first + topK) continue;
            slotMass[slot + 1] = slotMass[slot];
            expert[slot + 1] = expert[slot];
          }
          if (slot === first + topK) continue;
          slotMass[slot] = mass[entry];
          expert[slot] = e;
        }
      }
    }

    /** Gives the empty slots of the token at `first` the experts of plain top-k that it does not have yet. */
    function fillSlots(first: number): void {
      let slot = first;
      while (slot < first + topK && expert[slot] >= 0) slot += 1;
      const isEmpty = slot === first;
      for (let choice = first; slot < first + topK && choice < first + topK; choice++) {
        const candidate = plain.expert[choice];
        if (candidate < 0) return;
        let isTaken = false;
        for (let taken = first; taken < slot; taken++) isTaken ||= expert[taken] === candidate;
        if (isTaken) continue;
        expert[slot] = candidate;
        if (isEmpty) gate[slot] = plain.gate[choice];
        slot += 1;
      }
    }

    /** Of the token whose slots begin at `first` and have mass. */
    function addMassGradient(
      logits: Float32Array,
      first: number,
      rowSum: number,
      gateGradient: Float32Array,
      logitGradient: Float32Array,
    ): void {
      const row = (first / topK) * experts;
      const mean = meanGateGradient(gate, gateGradient, first, first + topK);
      let sum = 0;
      for (let slot = first; slot < first + topK; slot++) sum += rowSum * slotMass[slot];
      for (let slot = first; slot < first + topK; slot++) {
        if (slotMass[slot] === 0) continue;
        const slope = (gateGradient[slot] - mean) / (options.gamma * sum);
        if (options.cost === "scores") ofScores[expert[slot]] = slope;
        else logitGradient[row + expert[slot]] += slope;
      }
      if (options.cost === "scores") addRow(logits, row, logitGradient);
    }

    return {
      route(batch) {
        const { logits, tokens, hasDisabled } = batch;
        if (options.cost === "scores") {
          kernels.scores(logits, scores, tokens, experts, affinity);
          for (let entry = 0; hasDisabled && entry < tokens * experts; entry++) {
            if (logits[entry] === Number.NEGATIVE_INFINITY) affinity[entry] = Number.NEGATIVE_INFINITY;
          }
        }
        kernels.selectTopK(logits, scores, null, tokens, experts, topK, plain.expert, plain.load);
        kernels.gates(logits, scores, true, plain.expert, tokens, experts, topK, plain.gate);
        const affinities = options.cost === "scores" ? affinity : logits;
        if (hasDisabled) {
          disabling ??= createDisablingSolver(shape.tokens, experts, shape.tokens, options);
        }
        const solver = hasDisabled && disabling !== undefined ? disabling : transport;
        const { plan, iterations, marginalError, converged, dualityGap, maxColumnCardinality } = solver.solve({
          affinity: affinities,
          tokens,
          maxTokens: options.maxTokens === "capacity" ? batchCapacity(batch, shape) : options.maxTokens,
        });
        lastPlan = plan;
        expert.fill(-1);
        slotMass.fill(0);
        selectFromPlan(plan, affinities);
        load.fill(0);
        for (let first = 0; first < tokens * topK; first += topK) {
          let sum = 0;
          for (let slot = first; slot < first + topK; slot++) sum += slotMass[slot];
          for (let slot = first; slot < first + topK; slot++) gate[slot] = sum > 0 ? slotMass[slot] / sum : 0;
          if (options.fallback === "topk") fillSlots(first);
          for (let slot = first; slot < first + topK; slot++) if (expert[slot] >= 0) load[expert[slot]] += 1;
        }
        // A gamma beyond reason overflows the sums of squares; a gap between infinities is none.
        const gap = Number.isFinite(dualityGap) ? { dualityGap } : {};
        return { assignment, solver: { iterations, marginalError, converged, ...gap, maxColumnCardinality } };
      },
      writePlan({ tokens }, out) {
        if (lastPlan === undefined) throw new Error("no batch has been routed");
        const { columnStart, token, mass } = lastPlan;
        out.fill(0, 0, tokens * experts);
        for (let e = 0; e < experts; e++) {
          for (let entry = columnStart[e]; entry < columnStart[e + 1]; entry++) {
            out[token[entry] * experts + e] = mass[entry];
          }
        }
        for (let t = 0; t < tokens; t++) {
          // The largest entry of a row comes first: 0 means that there is none.
          if (slotMass[t * topK] > 0) continue;
          for (let slot = t * topK; slot < (t + 1) * topK; slot++) {
            if (plain.expert[slot] >= 0) out[t * experts + plain.expert[slot]] = plain.gate[slot];
          }
        }
      },
      backward({ logits, tokens }, gateGradient, logitGradient) {
        if (lastPlan === undefined) throw new Error("no batch has been routed");
        for (let token = 0; token < tokens; token++) {
          if (slotMass[token * topK] > 0) {
            addMassGradient(logits, token * topK, lastPlan.rowSum[token], gateGradient, logitGradient);
          } else {
            addNormalisedGateGradient(logits, token, experts, scores, assignment, gateGradient, logitGradient);
          }
        }
      },
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});
