import type { ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { TokenBatch } from "../token-batch.ts";
import { findHindsightBias, type HindsightBias } from "../transport/hindsight/hindsight-bias.ts";
import { createDualFunction, type DualFunction, type DualShape, type KeptScores } from "./dual-function.ts";

/** Target gap of the best fixed bias' Σ_n f_n(b*); a larger gap means that the regret is too low by that much. */
export const hindsightTolerance = 1e-6;

/** State of a {@link DualRegretMeter}. Plain data. */
export interface DualRegretState {
  /** Scores of all batches so far, one after the other. */
  readonly scores: KeptScores;
  /** `[steps observed]`, tokens kept from each batch. */
  readonly kept: Int32Array;
  /** Number of tokens observed. */
  readonly observed: number;
}

/** Measures all routers of a run that have a bias and one kind of affinity. */
export interface DualRegretMeter {
  /** Write it down at once: it changes with every batch. */
  state(): DualRegretState;
  /** Keeps the affinities of `batch`, or of a sample of its tokens. Call it once per step. */
  observe(batch: TokenBatch): void;
  /** Returns the best fixed bias for everything observed, at least one batch; computed once. */
  hindsight(): Hindsight;
  /**
   * Returns the cumulative regret `[steps observed]`, Σ_{i ≤ n} f_i(b_i) − f_i(b*), of the biases b_i that a router had
   * before it routed step i, `[steps observed × experts]`. It can fall, and is negative at the end if a moving bias
   * beats every fixed one; for a fixed bias it ends at −`gap` or more.
   */
  regret(biases: Float64Array): Float64Array;
}

export interface Hindsight extends HindsightBias {
  /** `[steps observed]`, f_n(b*). */
  readonly least: Float64Array;
  /** Tokens that the regret is based on / tokens observed, in (0, 1]. */
  readonly keptFraction: number;
}

/**
 * The online dual regret of biases (Han and Zhong 2025, arXiv 2512.03915), with f_n as in `dual-function.ts`; b* and
 * f_n(b_n) are computed on the tokens kept there.
 *
 * @param dual of the same sizes and affinities, if one already exists
 * @param state of another meter, to resume from
 */
export function createDualRegretMeter(
  kernels: Kernels,
  shape: DualShape,
  scores: ScoreKind,
  dual: DualFunction = createDualFunction(kernels, shape, scores),
  state?: DualRegretState,
): DualRegretMeter {
  const { steps, experts, topK } = shape;
  // One array for all: arrays of a few tokens each would have more overhead than content.
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

  /** Calls `take` with the scores of each batch, in order. */
  function eachBatch(take: (batch: KeptScores, n: number) => void): void {
    let start = 0;
    for (let n = 0; n < batches; n++) {
      const end = start + kept[n] * experts;
      take(all.subarray(start, end), n);
      start = end;
    }
  }

  /** Returns f_n of all batches, `[batches]`, each at its own bias. */
  function valuesAt(biasOf: (n: number) => Float64Array): Float64Array {
    const values = new Float64Array(batches);
    eachBatch((batch, n) => {
      values[n] = dual.value(batch, biasOf(n));
    });
    return values;
  }

  /** Returns runs of consecutive batches of equal size, each as one, with its number of batches. */
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

/** Returns Σ_{i ≤ n} f_i(b_i) − f_i(b*) `[steps]` from `values` f_n(b_n) and `least` f_n(b*). */
export function dualRegret(values: ArrayLike<number>, least: Float64Array): Float64Array {
  let sum = 0;
  return least.map((value, n) => {
    sum += values[n] - value;
    return sum;
  });
}
