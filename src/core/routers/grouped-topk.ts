import { z } from "zod";
import { createAssignmentBuffers } from "./parts/assignment-buffers.ts";
import { createExpertBias, expertBiasFields, expertBiasProblems, expertBiasVectors } from "./parts/expert-bias.ts";
import { createScoreGates, scoreGateFields } from "./parts/score-gates.ts";
import { defineRouterKind, type OptionProblem } from "./router.ts";

const groupedTopkOptions = z.strictObject({
  groups: z.number().int().positive().default(8).describe("Equal contiguous groups of experts; must divide experts."),
  topGroups: z.number().int().positive().default(4).describe("Groups a token may use; at most groups."),
  groupScore: z
    .enum(["top2-sum", "max"])
    .default("top2-sum")
    .describe(
      "What ranks a group: the sum of its two largest affinities plus bias, as in DeepSeek-V3, or the largest, as in " +
        "DeepSeek-V2.",
    ),
  quota: z
    .number()
    .int()
    .positive()
    .optional()
    .describe(
      "Most experts that a token takes of one group, as Pangu's MoGE, which takes equally many of all; no limit when absent.",
    ),
  ...expertBiasFields,
  ...scoreGateFields(true),
});

/**
 * Node-limited routing of DeepSeek-V3 with its auxiliary-loss-free bias b:
 *
 *     group score = sum of the two largest S_te + b_e of the group, or the largest with `groupScore: max`
 *     kept        = the `topGroups` groups with the largest score
 *     expert_t    = the K largest of S_te + b_e inside the kept groups, at most `quota` of each
 *     gate_t      = S_t[expert_t], without b, divided by its sum when `renormalize`, times `gateScale`
 *     b           = updated by the batch's load, after the batch was routed (see `expert-bias.ts`)
 *
 * S + b is compared in float64, so that affinities that float32 would round to the same value keep their order. Ties
 * between groups and between experts go to the lower index. Disabled experts count for no group's score. A token whose kept
 * groups have fewer than K enabled experts has empty slots.
 */
export const groupedTopkKind = defineRouterKind({
  kind: "grouped-topk",
  summary: "K largest of affinity plus bias inside the best groups of experts",
  source: "DeepSeek-V3, arXiv 2412.19437, section 2.1.2; group score as in its reference implementation",
  options: groupedTopkOptions,
  defaultScores: "sigmoid",
  hasBias: true,
  vectors: expertBiasVectors,
  advice: ({ groupScore }, scores) =>
    scores === "sigmoid" || groupScore === "max"
      ? null
      : `selects by ${scores}, but DeepSeek-V3 publishes this router with sigmoid; set its scores: sigmoid to follow it`,
  check({ groups, topGroups, quota, ...bias }, { experts, topK }) {
    const problems: OptionProblem[] = expertBiasProblems(bias, { experts });
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
    } else if (quota !== undefined && topK > topGroups * quota) {
      problems.push({
        path: ["quota"],
        message: `${quota} experts of each of ${topGroups} groups are ${topGroups * quota}, fewer than topK = ${topK}`,
      });
    }
    return problems;
  },
  create({ shape, scores, kernels }, options) {
    const { experts, topK } = shape;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, load } = assignment;
    const gates = createScoreGates(kernels, experts, scores, options);
    const bias = createExpertBias(kernels, shape, options);
    return {
      route(batch) {
        const { logits, tokens } = batch;
        kernels.selectGroupedTopK(logits, scores, bias.values, options, tokens, experts, topK, expert, load);
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
