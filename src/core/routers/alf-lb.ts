import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createExpertBias, expertBiasFields } from "./parts/expert-bias.ts";
import { createGateGradient } from "./parts/gate-gradient.ts";
import { renormalizeOption } from "./parts/shared-options.ts";
import { defineRouterKind } from "./router.ts";

const alfLbOptions = z.strictObject({ ...expertBiasFields, renormalize: renormalizeOption });

/**
 * Auxiliary-loss-free load balancing:
 *
 *     expert_t = the K largest of S_t + b
 *     gate_t   = S_t[expert_t], without b, divided by its sum when `renormalize`
 *     b        = moved by the batch's load, after the batch was routed (see `expert-bias.ts`)
 */
export const alfLbKind = defineRouterKind({
  kind: "alf-lb",
  summary: "K largest of affinity plus a bias per expert that follows the load",
  source: "Wang et al. 2024, arXiv 2408.15664, algorithm 1; theory arXiv 2512.03915",
  options: alfLbOptions,
  defaultScores: "sigmoid",
  hasBias: true,
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const addGateGradient = createGateGradient(experts, scores, options.renormalize);
    const bias = createExpertBias(kernels, shape, options);
    return {
      route({ logits, tokens }) {
        kernels.selectTopK(logits, scores, bias.values, tokens, experts, topK, expert, load);
        kernels.gates(logits, scores, options.renormalize, expert, tokens, experts, topK, gate);
        bias.learn(load, tokens);
        return { assignment };
      },
      backward({ logits, tokens }, gateGradient, logitGradient) {
        addGateGradient(logits, tokens, assignment, gateGradient, logitGradient);
      },
      bias: bias.values,
      state: bias.state,
      restore: bias.restore,
    };
  },
});
