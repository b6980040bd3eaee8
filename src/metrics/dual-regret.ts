import type { RoutingShape, ScoreKind } from "../core/assignment.ts";
import type { TokenBatch } from "../core/token-batch.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { findHindsightBias, type HindsightBias } from "../transport/hindsight-bias.ts";
import { createScoreBlocks, type ScoreBlocks } from "../transport/score-batches.ts";

/** Affinities that are kept of a run, at most: 128 MiB. */
const mostScores = 2 ** 25;

/** Of the best fixed bias Σ_n f_n(b*), its gap, to be at most this; where it is more the regret is too low by that. */
export const hindsightTolerance = 1e-6;

/** Measures all biased routers of a run that share a kind of affinity. */
export interface DualRegretMeter {
  /** Keeps the affinities of `batch`, or of a sample of its tokens. To be called once a step. */
  observe(batch: TokenBatch): void;
  /** The best fixed bias of all that was observed, at least one batch; computed once. */
  hindsight(): Hindsight;
  /**
   * Cumulative regret `[steps observed]`, Σ_{i ≤ n} f_i(b_i) − f_i(b*), of the biases b_i that a router had before it
   * routed step i, `[steps observed × experts]`. It can fall, and be negative before the last step, where it is at least
   * −`gap`.
   */
  regret(biases: Float64Array): Float64Array;
}

export interface Hindsight extends HindsightBias {
  /** Tokens the regret rests on / tokens observed, in (0, 1]. */
  readonly keptFraction: number;
}

/**
 * The online dual regret of biases (Han and Zhong 2025, arXiv 2512.03915), with f_n as in `hindsight-bias.ts`. Where a run of
 * `steps` is larger than 2^25 affinities every so-many-th token of a batch stands for all, in b* as in f_n(b_n); of
 * every batch at least one token is kept. Affinities are rounded to float32.
 */
export function createDualRegretMeter(
  kernels: Kernels,
  { tokens, experts, topK, steps }: RoutingShape & { readonly steps: number },
  scores: ScoreKind,
): DualRegretMeter {
  const most = Math.min(tokens, Math.max(1, Math.floor(mostScores / (steps * experts))));
  const logits = kernels.allocateFloat32(most * experts);
  const affinities = kernels.allocateFloat64(most * experts);
  const price = kernels.allocateFloat64(experts);
  const load = kernels.allocateFloat64(experts);
  const batches: Float32Array[] = [];
  let observed = 0;
  let kept = 0;
  let blocks: ScoreBlocks | undefined;
  let best: Hindsight | undefined;
  /** f_n(b*) of each batch. */
  let least: Float64Array | undefined;

  /** f_n(b). */
  function dualOf(n: number, bias: Float64Array): number {
    let value = 0;
    let shift = 0;
    for (let e = 0; e < experts; e++) {
      price[e] = -bias[e];
      shift += bias[e];
    }
    blocks ??= createScoreBlocks(kernels, batches, experts);
    const floor = Number.NEGATIVE_INFINITY;
    for (const block of blocks.batch(n)) {
      value += kernels.relaxedTopK(
        block.scores,
        price,
        0,
        floor,
        block.tokens,
        experts,
        topK,
        block.threshold,
        load,
        null,
      );
    }
    return (value * experts) / batches[n].length - (topK / experts) * shift;
  }

  const hindsight = (): Hindsight => {
    best ??= {
      ...findHindsightBias(kernels, batches, experts, topK, hindsightTolerance),
      keptFraction: kept / observed,
    };
    return best;
  };

  return {
    observe(batch) {
      const stride = Math.ceil(batch.tokens / most);
      let count = 0;
      for (let t = 0; t < batch.tokens; t += stride) {
        logits.set(batch.logits.subarray(t * experts, (t + 1) * experts), count * experts);
        count += 1;
      }
      kernels.affinities(logits, scores, count, experts, affinities);
      batches.push(new Float32Array(affinities.subarray(0, count * experts)));
      observed += batch.tokens;
      kept += count;
      blocks = undefined;
      best = undefined;
      least = undefined;
    },
    hindsight,
    regret(biases) {
      const { bias } = hindsight();
      least ??= Float64Array.from(batches, (_, n) => dualOf(n, bias));
      const regrets = new Float64Array(batches.length);
      let sum = 0;
      for (let n = 0; n < batches.length; n++) {
        sum += dualOf(n, biases.subarray(n * experts, (n + 1) * experts)) - least[n];
        regrets[n] = sum;
      }
      return regrets;
    },
  };
}
