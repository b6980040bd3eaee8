import { z } from "zod";
import { createAssignmentBuffers } from "./assignment-buffers.ts";
import { createExpertBias, expertBiasFields } from "./expert-bias.ts";
import type { OptionProblem, RouterKind } from "./router.ts";
import { renormalizeOption } from "./shared-options.ts";

const groupedTopkOptions = z.strictObject({
  groups: z.number().int().positive().default(8).describe("Equal contiguous groups of experts; must divide experts."),
  topGroups: z.number().int().positive().default(4).describe("Groups a token may use; at most groups."),
  ...expertBiasFields,
  renormalize: renormalizeOption,
});

export type GroupedTopkOptions = z.infer<typeof groupedTopkOptions>;

/**
 * Merges the keys `[from, to)` into the list of the largest so far: `chosen[offset, offset + filled)`, in descending
 * order of the key, at most `count` long. Returns its new length. Ranges must come in ascending order; ties then go to
 * the lower index.
 */
function mergeLargest(
  key: Float64Array,
  from: number,
  to: number,
  count: number,
  filled: number,
  chosen: Int32Array,
  offset: number,
): number {
  let length = filled;
  for (let candidate = from; candidate < to; candidate++) {
    if (length === count && !(key[candidate] > key[chosen[offset + count - 1]])) continue;
    let place = length < count ? length++ : count - 1;
    // Strictly greater: an equal key that came earlier has the lower index and stays in front.
    while (place > 0 && key[candidate] > key[chosen[offset + place - 1]]) {
      chosen[offset + place] = chosen[offset + place - 1];
      place -= 1;
    }
    chosen[offset + place] = candidate;
  }
  return length;
}

/**
 * Node-limited routing of DeepSeek-V3 with its auxiliary-loss-free bias b:
 *
 *     group score = sum of the two largest S_te + b_e of the group (of the one, where it has one expert)
 *     kept        = the `topGroups` groups with the largest score
 *     expert_t    = the K largest of S_te + b_e inside the kept groups
 *     gate_t      = S_t[expert_t], without b, divided by its sum when `renormalize`
 *     b           = moved by the batch's load, after the batch was routed (see `expert-bias.ts`)
 *
 * S + b is computed in float64, so that affinities which float32 would saturate to the same value keep their order.
 */
export const groupedTopkKind: RouterKind<GroupedTopkOptions> = {
  kind: "grouped-topk",
  summary: "K largest of affinity plus bias inside the best groups of experts",
  source: "DeepSeek-V3, arXiv 2412.19437, section 2.1.2; group score as in its reference implementation",
  options: groupedTopkOptions,
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
    const groupSize = experts / groups;
    const assignment = createAssignmentBuffers(kernels, shape);
    const { expert, gate, load } = assignment;
    const bias = createExpertBias(kernels, shape, options);
    const logSumExp = kernels.allocateFloat64(shape.tokens);
    const key = new Float64Array(experts);
    const groupScore = new Float64Array(groups);
    const kept = new Int32Array(topGroups);

    /** `key` = S + b of the token whose row begins at `row`. */
    function biasedAffinities(logits: Float32Array, row: number, logSum: number): void {
      for (let e = 0; e < experts; e++) {
        const logit = logits[row + e];
        key[e] = (scores === "softmax" ? Math.exp(logit - logSum) : 1 / (1 + Math.exp(-logit))) + bias.values[e];
      }
    }

    function scoreGroups(): void {
      for (let group = 0; group < groups; group++) {
        let first = Number.NEGATIVE_INFINITY;
        let second = Number.NEGATIVE_INFINITY;
        for (let e = group * groupSize; e < (group + 1) * groupSize; e++) {
          if (key[e] > first) {
            second = first;
            first = key[e];
          } else if (key[e] > second) {
            second = key[e];
          }
        }
        groupScore[group] = groupSize === 1 ? first : first + second;
      }
    }

    return {
      route({ logits, tokens }) {
        if (scores === "softmax") kernels.logSumExpRows(logits, tokens, experts, logSumExp);
        load.fill(0);
        for (let t = 0; t < tokens; t++) {
          biasedAffinities(logits, t * experts, logSumExp[t]);
          scoreGroups();
          mergeLargest(groupScore, 0, groups, topGroups, 0, kept, 0);
          // Ascending, so that ties between experts go to the lower index.
          kept.sort();
          let filled = 0;
          for (let place = 0; place < topGroups; place++) {
            const first = kept[place] * groupSize;
            filled = mergeLargest(key, first, first + groupSize, topK, filled, expert, t * topK);
          }
          for (let slot = t * topK; slot < (t + 1) * topK; slot++) load[expert[slot]] += 1;
        }
        kernels.gates(logits, scores, renormalize, expert, tokens, experts, topK, gate);
        bias.learn(load, tokens);
        return { assignment };
      },
      state: bias.state,
      restore: bias.restore,
    };
  },
};
