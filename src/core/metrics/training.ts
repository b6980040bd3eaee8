import type { Assignment } from "../assignment.ts";
import type { TokenBatch } from "../token-batch.ts";

/**
 * How undecided a gate is: the mean over tokens of −Σ_e p ln p / ln E with p = softmax(Z_t), in [0, 1]. 1 is uniform;
 * defined as 1 for E = 1. `logSumExp` `[tokens]` is log Σ_e exp Z_te.
 */
export function routingEntropy({ logits, tokens, experts }: TokenBatch, logSumExp: Float64Array): number {
  if (experts === 1) return 1;
  let sum = 0;
  for (let token = 0; token < tokens; token++) {
    for (let entry = token * experts; entry < (token + 1) * experts; entry++) {
      const logProbability = logits[entry] - logSumExp[token];
      sum -= logProbability * Math.exp(logProbability);
    }
  }
  return sum / (tokens * Math.log(experts));
}

/**
 * How much an expert reveals about the cluster of its tokens: the mutual information I(cluster; expert) in nats over
 * the batch's (token, expert) pairs, from 0 (experts ignore the cluster) to the entropy of the clusters. Like every
 * plug-in estimate it is biased upwards, by about (clusters − 1)·(experts − 1) / (2·pairs) (Miller 1955). 0 without
 * pairs.
 */
export function specialisation(
  { expert, slots }: Pick<Assignment, "expert" | "slots">,
  cluster: Int32Array,
  tokens: number,
  experts: number,
): number {
  let clusters = 0;
  for (let token = 0; token < tokens; token++) clusters = Math.max(clusters, cluster[token] + 1);
  const joint = new Float64Array(clusters * experts);
  const ofCluster = new Float64Array(clusters);
  const ofExpert = new Float64Array(experts);
  let pairs = 0;
  for (let slot = 0; slot < tokens * slots; slot++) {
    if (expert[slot] < 0) continue;
    const c = cluster[Math.floor(slot / slots)];
    joint[c * experts + expert[slot]] += 1;
    ofCluster[c] += 1;
    ofExpert[expert[slot]] += 1;
    pairs += 1;
  }
  let information = 0;
  for (let c = 0; c < clusters; c++) {
    for (let e = 0; e < experts; e++) {
      const count = joint[c * experts + e];
      if (count > 0) information += (count / pairs) * Math.log((count * pairs) / (ofCluster[c] * ofExpert[e]));
    }
  }
  // Rounding can take a sum of exact zeros slightly below 0.
  return Math.max(0, information);
}
