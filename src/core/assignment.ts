/** What a router decided for one batch. Its arrays belong to the router and are overwritten by the next batch. */
export interface Assignment {
  /**
   * Slots per token: `topK`, except for `expert-choice` and `expert-threshold`, where it is the maximum number of experts
   * of any token.
   */
  readonly slots: number;
  /** `[tokens × slots]`, the expert of each slot, −1 = none. A token's experts are distinct. */
  readonly expert: Int32Array;
  /** `[tokens × slots]`, the weight of each slot's expert in the token's output; 0 if there is no expert. */
  readonly gate: Float32Array;
  /** `[experts]`, (token, expert) pairs on each expert, before any drop. */
  readonly load: Int32Array;
}

/**
 * How logits Z become affinities S: `softmax` of each row, `sigmoid` or `sqrt-softplus`, √log(1 + e^z), of each entry, or
 * `logits`, Z itself, which alone can be negative.
 */
export const scoreKinds = ["softmax", "sigmoid", "sqrt-softplus", "logits"] as const;
/** `softmax`, `sigmoid`, `sqrt-softplus` or `logits`. */
export type ScoreKind = (typeof scoreKinds)[number];

/** Maximum number of experts anywhere. */
export const mostExperts = 65_536;

/** Sizes that every router of a scenario is built for. */
export interface RoutingShape {
  /** Maximum tokens in a batch. */
  readonly tokens: number;
  readonly experts: number;
  /** Experts per token, 1 ≤ topK ≤ experts. */
  readonly topK: number;
  /** > 0; see {@link expertCapacity}. */
  readonly capacityFactor: number;
}

/**
 * Returns the capacity C = ⌈capacityFactor · tokens · topK / experts⌉, the pairs an expert may hold in a batch of
 * `tokens`.
 */
export function expertCapacity(tokens: number, shape: RoutingShape): number {
  // Rounding to 12 digits first prevents 1.1 · 50 from becoming 56, since 1.1 has no exact double.
  return Math.ceil(Number(((shape.capacityFactor * tokens * shape.topK) / shape.experts).toPrecision(12)));
}

/** Pairs over capacity: Σ_e max(0, A_e − capacity). */
export function pairsOverCapacity(load: ArrayLike<number>, capacity: number): number {
  let over = 0;
  for (let expert = 0; expert < load.length; expert++) over += Math.max(0, load[expert] - capacity);
  return over;
}
