import { counted } from "../../words.ts";
/** Workloads of Megatron-LM's token-imbalance benchmark, by their short and full names. */
export const imbalancePresets = {
  W0: "W0_balanced",
  W1: "W1_hot_expert_set",
  W2: "W2_hot_rank",
  W3: "W3_spread_hot_experts",
  W4: "W4_source_ragged",
  W5: "W5_zero_expert_rank",
  W6: "W6_rotating_hotspot",
  W7: "W7_burst",
} as const;

export type ImbalancePreset = keyof typeof imbalancePresets;

/** The experts start, start + stride, …, `count` of them, modulo the number of experts. */
export interface ExpertPool {
  readonly start: number;
  readonly stride: 1 | 2;
  readonly count: number;
}

/** Returns the preset of a short or full name. */
export function presetOf(name: string): ImbalancePreset {
  return name.slice(0, 2) as ImbalancePreset;
}

/** Returns why the preset does not exist for these sizes; null if it does. */
export function presetProblem(preset: ImbalancePreset, experts: number, topK: number): string | null {
  const half = experts - Math.floor(experts / 2);
  if (preset !== "W5" || topK <= half) return null;
  return `${imbalancePresets.W5} uses only the last ${half} of ${counted(experts, "expert")}, too few for top-${topK}`;
}

/**
 * Returns the pool of experts from which a token of a step draws its experts, uniformly without replacement. h = max(topK,
 * ⌊experts / 4⌋) is the width of a hot block; tokens and steps count from 0:
 *
 *     W0      the topK experts from token · topK on: round robin
 *     W1, W2  the first h experts, but all experts for every fourth token
 *     W3      every other expert, half of all, but all experts for every fourth token; all if half is less than topK
 *     W4      all experts; that source ranks have different numbers of tokens does not show in the routing
 *     W5      the upper half
 *     W6      as W1, but the block moves on by h every three steps
 *     W7      all experts, but on every fourth step the first h for every other token
 *
 * NVIDIA/Megatron-LM pull request 7488, benchmarks/moe/token_imbalance. W1 and W2 are the same there: they differ in which
 * ranks own the block.
 */
export function poolOf(
  preset: ImbalancePreset,
  { experts, topK }: { readonly experts: number; readonly topK: number },
  step: number,
  token: number,
): ExpertPool {
  const all: ExpertPool = { start: 0, stride: 1, count: experts };
  const width = Math.max(topK, Math.floor(experts / 4));
  const isHot = token % 4 !== 0;
  switch (preset) {
    case "W0":
      return { start: (token * topK) % experts, stride: 1, count: topK };
    case "W1":
    case "W2":
      return isHot ? { start: 0, stride: 1, count: width } : all;
    case "W3": {
      // With an odd number of experts, steps of two go round to the odd ones.
      const reached = Math.max(topK, Math.floor(experts / 2));
      const count = experts % 2 === 0 ? Math.min(experts / 2, reached) : reached;
      return isHot && count >= topK ? { start: 0, stride: 2, count } : all;
    }
    case "W4":
      return all;
    case "W5":
      return { start: Math.floor(experts / 2), stride: 1, count: experts - Math.floor(experts / 2) };
    case "W6":
      return isHot ? { start: (Math.floor(step / 3) * width) % experts, stride: 1, count: width } : all;
    case "W7":
      return step % 4 === 3 && token % 2 === 0 ? { start: 0, stride: 1, count: width } : all;
  }
}
