import type { Kernels } from "../../kernels/kernels.ts";
import type { TokenBlock } from "./topk-dual.ts";

/** The affinities S of the tokens kept of each batch of a run, `[kept tokens × experts]` each. */
export type ScoreBatches = readonly Float32Array[];

/** Number of affinities evaluated at a time: their float64 values fit into the second-level cache. */
const blockScores = 2 ** 16;

/** Walks over scores that are kept in float32, one block at a time, in one buffer. */
export interface ScoreBlocks {
  /** Every `stride`-th token, each with weight `weight`, or its batch's weight if null. */
  every(stride: number, weight: number | null): Iterable<TokenBlock>;
  /** The tokens of one batch, each with the weight 1. */
  batch(n: number): Iterable<TokenBlock>;
  /** Forgets the tokens' thresholds. */
  reset(): void;
}

/** @param weights weight of a token of each batch; by default all batches have the same total weight */
export function createScoreBlocks(
  kernels: Kernels,
  batches: ScoreBatches,
  experts: number,
  weights: readonly number[] = batches.map((scores) => experts / scores.length),
): ScoreBlocks {
  const most = Math.max(1, Math.floor(blockScores / experts));
  const narrow = kernels.allocateFloat32(most * experts);
  const scores = kernels.allocateFloat64(most * experts);
  const tokens = batches.reduce((sum, batch) => sum + batch.length / experts, 0);
  const thresholds = kernels.allocateFloat64(tokens).fill(Number.NaN);

  /** Converts the tokens gathered so far to float64. `first` is the number of tokens of this walk before them. */
  function blockOf(count: number, first: number, weight: number): TokenBlock {
    kernels.affinities(narrow, "logits", count, experts, scores);
    return { scores, tokens: count, threshold: thresholds.subarray(first, first + count), weight };
  }

  function* walk(chosen: ScoreBatches, stride: number, weight: number | null): Iterable<TokenBlock> {
    let walked = 0;
    let next = 0;
    for (const [n, batch] of chosen.entries()) {
      const kept = batch.length / experts;
      while (next < kept) {
        let count = 0;
        if (stride === 1) {
          count = Math.min(most, kept - next);
          narrow.set(batch.subarray(next * experts, (next + count) * experts));
          next += count;
        }
        for (; stride > 1 && next < kept && count < most; next += stride) {
          narrow.set(batch.subarray(next * experts, (next + 1) * experts), count * experts);
          count += 1;
        }
        yield blockOf(count, walked, weight ?? weights[n]);
        walked += count;
      }
      next -= kept;
    }
  }

  return {
    every: (stride, weight) => ({ [Symbol.iterator]: () => walk(batches, stride, weight)[Symbol.iterator]() }),
    batch: (n) => walk([batches[n]], 1, 1),
    reset: () => {
      thresholds.fill(Number.NaN);
    },
  };
}
