import { range } from "d3-array";
import type { RoutingShape, ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createRandom } from "../random.ts";
import { drawEvenly } from "../stratified-sample.ts";
import type { TokenBatch } from "../token-batch.ts";

/** Maximum number of affinities kept of a run: 128 MiB. */
export const mostKeptScores = 2 ** 25;

/** Number of affinities evaluated at a time: as float64 they fit in the second-level cache. */
const blockScores = 2 ** 16;

/** Affinities S of the tokens kept from a batch, `[kept tokens × experts]`, rounded to float32. */
export type KeptScores = Float32Array;

/** Sizes of a run, and the seed that draws the tokens kept of a large one. */
export type DualShape = RoutingShape & { readonly steps: number; readonly seed: number };

/** f_n of successive batches. */
export interface DualFunction {
  /** Maximum tokens kept of a batch. */
  readonly mostTokens: number;
  /**
   * Returns the tokens of `batch` that are kept, rising and the same for all kinds of affinities. One can appear twice.
   */
  keptTokens(batch: TokenBatch): readonly number[];
  /** Returns the affinities of `batch`, or of a sample of its tokens, computed once; overwritten by the next batch. */
  keep(batch: TokenBatch): KeptScores;
  /** Returns f_n(b) on these, b `[experts]`. */
  value(scores: KeptScores, bias: Float64Array): number;
}

/**
 * The per-token dual of a batch as a function of the bias (Han and Zhong 2025, arXiv 2512.03915):
 *
 *     f_n(b) = (1/T)·Σ_t (sum of the K largest of S_t + b) − (K/E)·Σ_e b_e
 *
 * If a run of `steps` has more than 2^25 affinities, each batch is represented by tokens drawn evenly from it, at least
 * one. The draw depends only on the seed and the step, so every thread keeps the same tokens.
 *
 * Tokens with a disabled expert are left out: the theory is about tokens that choose among all experts. f_n of a batch
 * without other tokens is 0.
 */
export function createDualFunction(
  kernels: Kernels,
  { tokens, experts, topK, steps, seed }: DualShape,
  scoreKind: ScoreKind,
): DualFunction {
  const random = createRandom(seed).derive("dual");
  const most = Math.min(tokens, Math.max(1, Math.floor(mostKeptScores / (steps * experts))));
  const blockTokens = Math.max(1, Math.floor(blockScores / experts));
  const logits = kernels.allocateFloat32(most * experts);
  const affinities = kernels.allocateFloat64(most * experts);
  const kept = new Float32Array(most * experts);
  const narrow = kernels.allocateFloat32(blockTokens * experts);
  const scores = kernels.allocateFloat64(blockTokens * experts);
  const threshold = kernels.allocateFloat64(blockTokens);
  const price = kernels.allocateFloat64(experts);
  const load = kernels.allocateFloat64(experts);
  let last: TokenBatch | undefined;
  let count = 0;

  function keptTokens({ step, tokens: count }: TokenBatch): readonly number[] {
    if (count <= most) return range(count);
    return drawEvenly(count, most, random.derive(String(step)));
  }

  return {
    mostTokens: most,
    keptTokens,
    keep(batch) {
      if (batch === last) return kept.subarray(0, count * experts);
      last = batch;
      count = 0;
      for (const token of keptTokens(batch)) {
        if (batch.hasDisabled && hasDisabledExpert(batch, token)) continue;
        logits.set(batch.logits.subarray(token * experts, (token + 1) * experts), count * experts);
        count += 1;
      }
      kernels.affinities(logits, scoreKind, count, experts, affinities);
      kept.set(affinities.subarray(0, count * experts));
      return kept.subarray(0, count * experts);
    },
    value(of, bias) {
      if (of.length === 0) return 0;
      let value = 0;
      let shift = 0;
      for (let e = 0; e < experts; e++) {
        price[e] = -bias[e];
        shift += bias[e];
      }
      for (let from = 0; from < of.length; from += blockTokens * experts) {
        const block = of.subarray(from, from + blockTokens * experts);
        const tokensOfBlock = block.length / experts;
        narrow.set(block);
        kernels.affinities(narrow, "logits", tokensOfBlock, experts, scores);
        threshold.fill(Number.NaN);
        value += kernels.relaxedTopK(
          scores,
          price,
          0,
          Number.NEGATIVE_INFINITY,
          tokensOfBlock,
          experts,
          topK,
          threshold,
          load,
          null,
        );
      }
      return (value * experts) / of.length - (topK / experts) * shift;
    },
  };
}

/** Whether some expert is disabled for the token. */
function hasDisabledExpert({ logits, experts }: TokenBatch, token: number): boolean {
  for (let entry = token * experts; entry < (token + 1) * experts; entry++) {
    if (logits[entry] === Number.NEGATIVE_INFINITY) return true;
  }
  return false;
}
