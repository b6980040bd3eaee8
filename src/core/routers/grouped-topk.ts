import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createExpertBias, expertBiasFields } from "./parts/expert-bias.ts";
import { createGateGradient } from "./parts/gate-gradient.ts";
import { renormalizeOption } from "./parts/shared-options.ts";
import { defineRouterKind, type OptionProblem } from "./router.ts";

const groupedTopkOptions = z.strictObject({
  groups: z.number().int().positive().default(8).describe("Equal contiguous groups of experts; must divide experts."),
  topGroups: z.number().int().positive().default(4).describe("Groups a token may use; at most groups."),
  ...expertBiasFields,
  renormalize: renormalizeOption,
});

/**
 * Node-limited routing of DeepSeek-V3 with its auxiliary-loss-free bias b:
 *
 *     group score = sum of the two largest S_te + b_e of the group (of the one, where it has one expert)
 *     kept        = the `topGroups` groups with the largest score
 *     expert_t    = the K largest of S_te + b_e inside the kept groups
 *     gate_t      = S_t[expert_t], without b, divided by its sum when `renormalize`
 *     b           = moved by the batch's load, after the batch was routed (see `expert-bias.ts`)
 *
 * The choice is that of S + b in float64, so that affinities which float32 would saturate to the same value keep their
 * order; ties between groups and between experts go to the lower one.
 */
export const groupedTopkKind = defineRouterKind({
  kind: "grouped-topk",
  summary: "K largest of affinity plus bias inside the best groups of experts",
  source: "DeepSeek-V3, arXiv 2412.19437, section 2.1.2; group score as in its reference implementation",
  options: groupedTopkOptions,
  defaultScores: "sigmoid",
  hasBias: true,
  check({ groups, topGroups }, { experts, topK }) {
    const problems: OptionProblem[] = [];
    if (experts % groups !== 0) {
      problems.push({ path: ["groups"], message: `${groups} groups do not divide ${experts} experts` });
    }
    if (topGroups > groups) {
      problems.push({ path: ["topGroups"], message: `must be at most groups = ${groups}, is ${topGroups}` });
    } else if (topK * groups > topGroups * experts) {
      const reach = (topGroups * experts) / groups;
      problems.push({
        path: ["topGroups"],
        message: `${topGroups} groups hold ${reach} experts, fewer than topK = ${topK}`,
      });
    }
    return problems;
  },
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const { groups, topGroups, renormalize } = options;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const addGateGradient = createGateGradient(experts, scores, renormalize);
    const bias = createExpertBias(kernels, shape, options);
    return {
      route({ logits, tokens }) {
        kernels.selectGroupedTopK(logits, scores, bias.values, groups, topGroups, tokens, experts, topK, expert, load);
        kernels.gates(logits, scores, renormalize, expert, tokens, experts, topK, gate);
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
