import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { emptyStateSchema } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const topkOptions = z.strictObject({ ...scoreGateFields(true) });

/**
 * Plain top-k routing, without any balancing:
 *
 *     expert_t = the K largest of S_t            (the order of S_t is the order of Z_t)
 *     gate_t   = S_t[expert_t], divided by its sum when `renormalize`, times `gateScale`
 */
export const topkKind = defineRouterKind({
  kind: "topk",
  summary: "K largest affinities, no balancing",
  source: "Shazeer et al. 2017, arXiv 1701.06538, eq. 5 without noise; Fedus et al. 2021, arXiv 2101.03961, eq. 2",
  options: topkOptions,
  relativeCost: 1,
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    return {
      route(batch) {
        kernels.selectTopK(batch.logits, scores, null, batch.tokens, experts, topK, expert, load);
        gates.write(batch, assignment);
        return { assignment };
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, assignment, gateGradient, logitGradient);
      },
      state: () => ({}),
      restore: (state) => {
        emptyStateSchema.parse(state);
      },
    };
  },
});
