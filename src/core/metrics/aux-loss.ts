import type { Assignment, RoutingShape, ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import type { TokenBatch } from "../token-batch.ts";

/** Over which tokens f and p of the load-balancing loss are taken. */
export const auxLossScopes = ["batch", "sequence", "global"] as const;
/** `batch`, `sequence` or `global`. */
export type AuxLossScope = (typeof auxLossScopes)[number];

/** Scope of the load-balancing loss, and its sizes. */
export interface AuxLossRule {
  readonly scope: AuxLossScope;
  /** Tokens of a sequence, with `scope: sequence`. */
  readonly sequenceTokens: number;
  /** Last batches that f is summed over, with `scope: global`. */
  readonly globalBatches: number;
}

/** Tokens of each sequence but the last; of the whole batch if the scope is not `sequence`. */
export function sequenceLength({ scope, sequenceTokens }: AuxLossRule, tokens: number): number {
  return scope === "sequence" ? Math.min(sequenceTokens, tokens) : tokens;
}

/**
 * p of the load-balancing loss: affinities divided by their sum over each token's experts, and their means over the
 * tokens of each sequence. `scores: logits`, which can be negative, are taken for the logits of a softmax.
 */
export interface MeanAffinities {
  /** `[sequences × experts]`, the mean p of each sequence; `[1 × experts]` unless the scope is `sequence`. */
  readonly mean: Float64Array;
  /** `[sequences]`, the pairs of each sequence: min(topK, enabled experts) summed over its tokens. */
  readonly pairs: Float64Array;
  readonly experts: number;
  /** Number of sequences of the last batch. */
  readonly sequences: number;
  /** Experts that some token can have. */
  readonly enabledExperts: number;
  observe(batch: TokenBatch): void;
}

export function createMeanAffinities(
  kernels: Kernels,
  { tokens: mostTokens, experts, topK }: Pick<RoutingShape, "tokens" | "experts" | "topK">,
  scores: ScoreKind,
  rule: AuxLossRule,
): MeanAffinities {
  const kind = scores === "logits" ? "softmax" : scores;
  const mostSequences = Math.ceil(mostTokens / sequenceLength(rule, mostTokens));
  const mean = kernels.allocateFloat64(mostSequences * experts);
  const pairs = new Float64Array(mostSequences);
  const isEnabled = new Uint8Array(experts);
  let sequences = 0;
  let enabledExperts = experts;

  function countEnabled(logits: Float32Array, first: number, end: number): number {
    let count = 0;
    for (let token = first; token < end; token++) {
      let own = 0;
      for (let e = 0; e < experts; e++) {
        if (logits[token * experts + e] === Number.NEGATIVE_INFINITY) continue;
        isEnabled[e] = 1;
        own += 1;
      }
      count += Math.min(topK, own);
    }
    return count;
  }

  return {
    mean,
    pairs,
    experts,
    get sequences() {
      return sequences;
    },
    get enabledExperts() {
      return enabledExperts;
    },
    observe({ logits, tokens, hasDisabled }) {
      const length = sequenceLength(rule, tokens);
      sequences = tokens === 0 ? 0 : Math.ceil(tokens / length);
      mean.fill(0, 0, sequences * experts);
      isEnabled.fill(hasDisabled ? 0 : 1);
      for (let sequence = 0; sequence < sequences; sequence++) {
        const first = sequence * length;
        const end = Math.min(first + length, tokens);
        const into = sequence * experts;
        const rows = logits.subarray(first * experts, end * experts);
        kernels.addShares(rows, kind, end - first, experts, mean.subarray(into, into + experts));
        for (let e = 0; e < experts; e++) mean[into + e] /= end - first;
        pairs[sequence] = hasDisabled ? countEnabled(logits, first, end) : (end - first) * topK;
      }
      enabledExperts = 0;
      for (let e = 0; e < experts; e++) enabledExperts += isEnabled[e];
    },
  };
}

/** Writes the load that the tokens `first` … `end` − 1 alone put on each expert to `load` `[experts]`. */
export function countLoad(
  { expert, slots }: Pick<Assignment, "expert" | "slots">,
  first: number,
  end: number,
  load: Int32Array | Float64Array,
): void {
  load.fill(0);
  for (let slot = first * slots; slot < end * slots; slot++) if (expert[slot] >= 0) load[expert[slot]] += 1;
}

/** State of {@link LoadFractions}. Plain data. */
export interface LoadFractionsState {
  /** `[globalBatches × experts]`, a ring of the loads of the last batches; empty unless the scope is `global`. */
  readonly loads: Float64Array;
  /** `[globalBatches]`, their pairs. */
  readonly pairs: Float64Array;
  /** `[experts]`, the sum of these loads. */
  readonly total: Float64Array;
  totalPairs: number;
  batches: number;
}

/** f of the load-balancing loss: the share of the pairs that each expert has. */
export interface LoadFractions {
  /** Changes with every batch. */
  readonly state: LoadFractionsState;
  /** `[sequences × experts]`, f_e = A_e / pairs of each sequence, or of the last batches together. */
  readonly fraction: Float64Array;
  /**
   * Takes the next batch.
   *
   * @param pairs `[sequences]`, see {@link MeanAffinities}
   */
  observe(assignment: Assignment, tokens: number, pairs: Float64Array): void;
}

/** @param from state of another object of the same shape and rule, to resume from; changes with every batch */
export function createLoadFractions(
  { tokens: mostTokens, experts }: Pick<RoutingShape, "tokens" | "experts">,
  rule: AuxLossRule,
  from?: LoadFractionsState,
): LoadFractions {
  const window = rule.scope === "global" ? rule.globalBatches : 0;
  const state = from ?? {
    loads: new Float64Array(window * experts),
    pairs: new Float64Array(window),
    total: new Float64Array(window === 0 ? 0 : experts),
    totalPairs: 0,
    batches: 0,
  };
  const fraction = new Float64Array(Math.ceil(mostTokens / sequenceLength(rule, mostTokens)) * experts);

  function takeGlobal(load: Int32Array, pairs: number): void {
    const place = state.batches % window;
    state.batches += 1;
    // Integers: the sums stay exact.
    state.totalPairs += pairs - state.pairs[place];
    state.pairs[place] = pairs;
    for (let e = 0; e < experts; e++) {
      const entry = place * experts + e;
      state.total[e] += load[e] - state.loads[entry];
      state.loads[entry] = load[e];
      fraction[e] = state.totalPairs === 0 ? 0 : state.total[e] / state.totalPairs;
    }
  }

  return {
    state,
    fraction,
    observe(assignment, tokens, pairs) {
      if (rule.scope === "global") {
        takeGlobal(assignment.load, pairs[0]);
        return;
      }
      const length = sequenceLength(rule, tokens);
      for (let first = 0, sequence = 0; first < tokens; first += length, sequence++) {
        const row = sequence * experts;
        if (rule.scope === "batch") fraction.set(assignment.load);
        else countLoad(assignment, first, Math.min(first + length, tokens), fraction.subarray(row, row + experts));
        if (pairs[sequence] === 0) continue;
        for (let e = row; e < row + experts; e++) fraction[e] /= pairs[sequence];
      }
    },
  };
}

/**
 * Load-balancing loss E·Σ_e f_e·p̄_e, the mean over sequences; ≥ 0, and 1 if f or p̄ is uniform (Fedus et al. 2021, arXiv
 * 2101.03961, eq. 4; f over the global batch: arXiv 2501.11873). E counts the experts that some token can have.
 */
export function auxLoss(fraction: Float64Array, { mean, sequences, experts, enabledExperts }: MeanAffinities): number {
  let sum = 0;
  for (let entry = 0; entry < sequences * experts; entry++) sum += fraction[entry] * mean[entry];
  return (enabledExperts * sum) / sequences;
}
