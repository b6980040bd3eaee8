import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createExpertBias, expertBiasFields, expertBiasProblems, expertBiasVectors } from "./parts/expert-bias.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { defineRouterKind } from "./router.ts";

const alfLbOptions = z.strictObject({ ...expertBiasFields, ...scoreGateFields(true) });

/**
 * Auxiliary-loss-free load balancing:
 *
 *     expert_t = the K largest of S_t + b
 *     gate_t   = S_t[expert_t], without b, divided by its sum when `renormalize`, times `gateScale`
 *     b        = updated by the batch's load, after the batch was routed (see `expert-bias.ts`)
 */
export const alfLbKind = defineRouterKind({
  kind: "alf-lb",
  summary: "K largest of affinity plus a bias per expert that follows the load",
  source: "Wang et al. 2024, arXiv 2408.15664, algorithm 1; theory arXiv 2512.03915",
  options: alfLbOptions,
  defaultScores: "sigmoid",
  hasBias: true,
  vectors: expertBiasVectors,
  check: expertBiasProblems,
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    const bias = createExpertBias(kernels, shape, options);
    return {
      route(batch) {
        kernels.selectTopK(batch.logits, scores, bias.values, batch.tokens, experts, topK, expert, load);
        gates.write(batch, assignment);
        bias.learn(load, batch);
        return { assignment };
      },
      backward(batch, gateGradient, logitGradient) {
        gates.addGradient(batch, assignment, gateGradient, logitGradient);
      },
      bias: bias.values,
      state: bias.state,
      restore: bias.restore,
    };
  },
});
