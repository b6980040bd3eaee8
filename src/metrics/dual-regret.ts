import type { ScoreKind } from "../core/assignment.ts";
import type { TokenBatch } from "../core/token-batch.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { findHindsightBias, type HindsightBias } from "../transport/hindsight-bias.ts";
import { createDualFunction, type DualFunction, type DualShape, type KeptScores } from "./dual-function.ts";

/** Of the best fixed bias Σ_n f_n(b*), its gap, to be at most this; where it is more the regret is too low by that. */
export const hindsightTolerance = 1e-6;

/** All that a {@link DualRegretMeter} remembers. Plain data. */
export interface DualRegretState {
  /** Of each batch so far. */
  readonly batches: KeptScores[];
  /** Tokens observed, and those of them that were kept. */
  observed: number;
  kept: number;
}

/** Measures all biased routers of a run that share a kind of affinity. */
export interface DualRegretMeter {
  /** Changes with every batch. */
  readonly state: DualRegretState;
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
  state: DualRegretState = { batches: [], observed: 0, kept: 0 },
): DualRegretMeter {
  const { experts, topK } = shape;
  const { batches } = state;
  let best: Hindsight | undefined;

  const hindsight = (): Hindsight => {
    if (best === undefined) {
      const found = findHindsightBias(kernels, batches, experts, topK, hindsightTolerance);
      const least = Float64Array.from(batches, (batch) => dual.value(batch, found.bias));
      best = { ...found, least, keptFraction: state.kept / state.observed };
    }
    return best;
  };

  return {
    state,
    observe(batch) {
      const scores = dual.keep(batch).slice();
      batches.push(scores);
      state.observed += batch.tokens;
      state.kept += scores.length / experts;
      best = undefined;
    },
    hindsight,
    regret: (biases) =>
      dualRegret(
        batches.map((batch, n) => dual.value(batch, biases.subarray(n * experts, (n + 1) * experts))),
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
