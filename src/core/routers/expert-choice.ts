import { z } from "zod";
import { expertCapacity } from "../assignment.ts";
import { batchCapacity } from "../token-batch.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { emptyStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const expertChoiceOptions = z.strictObject(scoreGateFields(false));

/**
 * Expert Choice: each expert chooses C tokens, so that all loads are C and a token may get any number of experts.
 *
 *     C        = min(T, ⌈capacityFactor · T·K/E⌉)
 *     chosen_e = the C tokens with the largest S_te
 *     gate_te  = S_te, divided by the token's sum when `renormalize`, times `gateScale`
 *
 * An expert never chooses a token that it is disabled for, so its load can be less than C.
 *
 * A token's slots hold its experts in ascending order, then −1. A batch has as many slots as the largest number of
 * experts of one of its tokens.
 */
export const expertChoiceKind = defineRouterKind({
  kind: "expert-choice",
  summary: "each expert takes the C tokens with the highest affinity",
  source: "Zhou et al. 2022, arXiv 2202.09368, section 3.2",
  options: expertChoiceOptions,
  maxSlots: ({ experts }) => experts,
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    // One token can be chosen by every expert.
    const expert = kernels.allocateInt32(shape.tokens * experts);
    const gate = kernels.allocateFloat32(shape.tokens * experts);
    const load = kernels.allocateInt32(experts);
    // Larger if disabled experts leave more tokens to the others.
    let chosen = kernels.allocateInt32(experts * Math.min(shape.tokens, expertCapacity(shape.tokens, shape)));
    const filled = new Int32Array(shape.tokens);
    const gates = createScoreGates(kernels, experts, scores, options);
    /** Of the batch routed last. */
    let slots = 0;
    return {
      route(batch) {
        const { logits, tokens } = batch;
        const capacity = Math.min(tokens, batchCapacity(batch, shape));
        if (chosen.length < experts * capacity) chosen = kernels.allocateInt32(experts * tokens);
        kernels.selectTokens(logits, scores, tokens, experts, capacity, chosen);
        load.fill(0);

        filled.fill(0);
        slots = 0;
        for (let e = 0; e < experts; e++) {
          for (let choice = e * capacity; choice < (e + 1) * capacity; choice++) {
            const token = chosen[choice];
            if (logits[token * experts + e] === Number.NEGATIVE_INFINITY) continue;
            load[e] += 1;
            filled[token] += 1;
            slots = Math.max(slots, filled[token]);
          }
        }
        filled.fill(0);
        expert.fill(-1, 0, tokens * slots);
        for (let e = 0; e < experts; e++) {
          for (let choice = e * capacity; choice < (e + 1) * capacity; choice++) {
            const token = chosen[choice];
            if (logits[token * experts + e] === Number.NEGATIVE_INFINITY) continue;
            expert[token * slots + filled[token]] = e;
            filled[token] += 1;
          }
        }
        const assignment = { slots, expert, gate, load };
        gates.write(batch, assignment);
        return { assignment };
      },
      /** Plain top-k of S: experts cannot choose among tokens that have not been generated yet. */
      routeAtInference(batch) {
        kernels.selectTopK(batch.logits, scores, null, batch.tokens, experts, topK, expert, load);
        const assignment = { slots: topK, expert, gate, load };
        gates.write(batch, assignment);
        return assignment;
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, { slots, expert, gate }, gateGradient, logitGradient);
      },
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});
