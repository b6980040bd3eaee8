import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createGateGradient } from "./parts/gate-gradient.ts";
import { emptyStateSchema, renormalizeOption } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const topkOptions = z.strictObject({ renormalize: renormalizeOption });

/**
 * Plain top-k routing, without any balancing:
 *
 *     expert_t = the K largest of S_t            (the order of S_t is the order of Z_t)
 *     gate_t   = S_t[expert_t], divided by its sum when `renormalize`
 */
export const topkKind = defineRouterKind({
  kind: "topk",
  summary: "K largest affinities, no balancing",
  source: "Shazeer et al. 2017, arXiv 1701.06538, eq. 5 without noise; Fedus et al. 2021, arXiv 2101.03961, eq. 2",
  options: topkOptions,
  relativeCost: 1,
  create({ shape, scores, kernels }, { renormalize }) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const addGateGradient = createGateGradient(experts, scores, renormalize);
    return {
      route({ logits, tokens }) {
        kernels.selectTopK(logits, scores, null, tokens, experts, topK, expert, load);
        kernels.gates(logits, scores, renormalize, expert, tokens, experts, topK, gate);
        return { assignment };
      },
      backward({ logits, tokens }, gateGradient, logitGradient) {
        addGateGradient(logits, tokens, assignment, gateGradient, logitGradient);
      },
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});
