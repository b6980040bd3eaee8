import type { ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { TokenBatch } from "../token-batch.ts";
import { findHindsightBias, type HindsightBias } from "../transport/hindsight/hindsight-bias.ts";
import { createDualFunction, type DualFunction, type DualShape, type KeptScores } from "./dual-function.ts";

/** Of the best fixed bias Σ_n f_n(b*), its gap, to be at most this; where it is more the regret is too low by that. */
export const hindsightTolerance = 1e-6;

/** All that a {@link DualRegretMeter} remembers. Plain data. */
export interface DualRegretState {
  /** Of all batches so far, one behind the other. */
  readonly scores: KeptScores;
  /** `[steps observed]`, tokens kept of each batch. */
  readonly kept: Int32Array;
  /** Tokens observed. */
  readonly observed: number;
}

/** Measures all biased routers of a run that share a kind of affinity. */
export interface DualRegretMeter {
  /** To be written down at once: it changes with every batch. */
  state(): DualRegretState;
  /** Keeps the affinities of `batch`, or of a sample of its tokens. To be called once a step. */
  observe(batch: TokenBatch): void;
  /** The best fixed bias of all that was observed, at least one batch; computed once. */
  hindsight(): Hindsight;
  /**
   * Cumulative regret `[steps observed]`, Σ_{i ≤ n} f_i(b_i) − f_i(b*), of the biases b_i that a router had before it
   * routed step i, `[steps observed × experts]`. It can fall, and be negative, at the end too if a moving bias beats every
   * fixed one; that of a fixed bias is at least −`gap` at the end.
   */
  regret(biases: Float64Array): Float64Array;
}

export interface Hindsight extends HindsightBias {
  /** `[steps observed]`, f_n(b*). */
  readonly least: Float64Array;
  /** Tokens the regret rests on / tokens observed, in (0, 1]. */
  readonly keptFraction: number;
}

/**
 * The online dual regret of biases (Han and Zhong 2025, arXiv 2512.03915), with f_n as in `dual-function.ts`, b* and f_n(b_n)
 * on the tokens that are kept there.
 *
 * @param dual of the same sizes and affinities, where there is one already
 * @param state of another, to go on from
 */
export function createDualRegretMeter(
  kernels: Kernels,
  shape: DualShape,
  scores: ScoreKind,
  dual: DualFunction = createDualFunction(kernels, shape, scores),
  state?: DualRegretState,
): DualRegretMeter {
  const { steps, experts, topK } = shape;
  // One array for all, since arrays of a few tokens each take more room around them than their scores do.
  const all = new Float32Array(steps * dual.mostTokens * experts);
  const kept = new Int32Array(steps);
  let batches = state?.kept.length ?? 0;
  let length = state?.scores.length ?? 0;
  let observed = state?.observed ?? 0;
  if (state !== undefined) {
    all.set(state.scores);
    kept.set(state.kept);
  }
  let best: Hindsight | undefined;

  /** Calls `take` with the scores of each batch, in their order. */
  function eachBatch(take: (batch: KeptScores, n: number) => void): void {
    let start = 0;
    for (let n = 0; n < batches; n++) {
      const end = start + kept[n] * experts;
      take(all.subarray(start, end), n);
      start = end;
    }
  }

  /** f_n of all batches, `[batches]`, each at its own bias. */
  function valuesAt(biasOf: (n: number) => Float64Array): Float64Array {
    const values = new Float64Array(batches);
    eachBatch((batch, n) => {
      values[n] = dual.value(batch, biasOf(n));
    });
    return values;
  }

  /** Batches of the same size that follow each other as one, and how many each is. */
  function runsOfBatches(): { runs: KeptScores[]; counts: number[] } {
    const runs: KeptScores[] = [];
    const counts: number[] = [];
    let start = 0;
    for (let first = 0; first < batches; ) {
      let end = first;
      while (end < batches && kept[end] === kept[first]) end += 1;
      const next = start + (end - first) * kept[first] * experts;
      // Of batches of which no token is kept every bias is the best.
      if (next > start) {
        runs.push(all.subarray(start, next));
        counts.push(end - first);
      }
      [first, start] = [end, next];
    }
    return { runs, counts };
  }

  const hindsight = (): Hindsight => {
    if (best === undefined) {
      const { runs, counts } = runsOfBatches();
      const found = findHindsightBias(kernels, runs, experts, topK, hindsightTolerance, counts);
      best = { ...found, least: valuesAt(() => found.bias), keptFraction: length / experts / observed };
    }
    return best;
  };

  return {
    state: () => ({ scores: all.subarray(0, length), kept: kept.subarray(0, batches), observed }),
    observe(batch) {
      const own = dual.keep(batch);
      all.set(own, length);
      kept[batches] = own.length / experts;
      length += own.length;
      batches += 1;
      observed += batch.tokens;
      best = undefined;
    },
    hindsight,
    regret: (biases) =>
      dualRegret(
        valuesAt((n) => biases.subarray(n * experts, (n + 1) * experts)),
        hindsight().least,
      ),
  };
}

/** Σ_{i ≤ n} f_i(b_i) − f_i(b*) `[steps]` from `values` f_n(b_n) and `least` f_n(b*). */
export function dualRegret(values: ArrayLike<number>, least: Float64Array): Float64Array {
  let sum = 0;
  return least.map((value, n) => {
    sum += values[n] - value;
    return sum;
  });
}
