import { z } from "zod";
import { expertCapacity } from "../assignment.ts";
import { createGateGradient } from "./parts/gate-gradient.ts";
import { emptyStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const expertChoiceOptions = z.strictObject({});

/**
 * Expert Choice: the experts choose their tokens, so every load is C and a token may get any number of experts.
 *
 *     C        = min(T, ⌈capacityFactor · T·K/E⌉)
 *     chosen_e = the C tokens with the largest S_te
 *     gate_te  = S_te
 *
 * A token's slots hold its experts in ascending order, the rest is −1. A batch has as many slots as the most experts
 * that one of its tokens was given.
 */
export const expertChoiceKind = defineRouterKind({
  kind: "expert-choice",
  summary: "each expert takes the C tokens with the highest affinity",
  source: "Zhou et al. 2022, arXiv 2202.09368, section 3.2",
  options: expertChoiceOptions,
  maxSlots: ({ experts }) => experts,
  create({ shape, scores, kernels }) {
    const { experts } = shape;
    // One token can be chosen by every expert.
    const expert = kernels.allocateInt32(shape.tokens * experts);
    const gate = kernels.allocateFloat32(shape.tokens * experts);
    const load = kernels.allocateInt32(experts);
    const chosen = kernels.allocateInt32(experts * Math.min(shape.tokens, expertCapacity(shape.tokens, shape)));
    const filled = new Int32Array(shape.tokens);
    const addGateGradient = createGateGradient(experts, scores, false);
    /** Of the batch routed last. */
    let slots = 0;
    return {
      route({ logits, tokens }) {
        const capacity = Math.min(tokens, expertCapacity(tokens, shape));
        kernels.selectTokens(logits, scores, tokens, experts, capacity, chosen);
        load.fill(capacity);

        filled.fill(0);
        slots = 0;
        for (let choice = 0; choice < experts * capacity; choice++) {
          filled[chosen[choice]] += 1;
          slots = Math.max(slots, filled[chosen[choice]]);
        }
        filled.fill(0);
        expert.fill(-1, 0, tokens * slots);
        for (let e = 0; e < experts; e++) {
          for (let choice = e * capacity; choice < (e + 1) * capacity; choice++) {
            const token = chosen[choice];
            expert[token * slots + filled[token]] = e;
            filled[token] += 1;
          }
        }
        kernels.gates(logits, scores, false, expert, tokens, experts, slots, gate);
        return { assignment: { slots, expert, gate, load } };
      },
      backward({ logits, tokens }, gateGradient, logitGradient) {
        addGateGradient(logits, tokens, { slots, expert, gate }, gateGradient, logitGradient);
      },
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});
