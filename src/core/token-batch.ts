import { expertCapacity, type RoutingShape } from "./assignment.ts";

/** The router logits of one step: what every router of a scenario sees. */
export interface TokenBatch {
  /** Step number, counted from 0. */
  readonly step: number;
  /**
   * Tokens in this batch, 0 if all of its tokens are padding. The last batch of a recorded file may be shorter than the
   * others, as are those with padding.
   */
  readonly tokens: number;
  readonly experts: number;
  /**
   * `[tokens × experts]`, row-major; finite, or −∞ for an expert that is disabled for the token. The array may be longer
   * than `tokens · experts`, and the next batch overwrites it; routers read it and never write to it.
   */
  readonly logits: Float32Array;
  /**
   * `[tokens]`, the place of each token in its step of the recording, if padding was left out; absent if none was. May be
   * longer than `tokens`.
   */
  readonly position?: Int32Array;
  /** `[tokens]`, the id of each token in its vocabulary, if the stream knows it. May be longer than `tokens`. */
  readonly tokenId?: Int32Array;
  /** Whether a logit may be −∞; default false. */
  readonly hasDisabled?: boolean;
  /** `[tokens]`, the true cluster of each token, if the stream knows it. May be longer than `tokens`. */
  readonly cluster?: Int32Array;
}

/** A logit below this disables its expert for the token: attention-style masks write the lowest float instead of −∞. */
export const disabledBelow = Math.fround(-1e30);

/**
 * Replaces logits below {@link disabledBelow} by −∞, in place. Returns whether there were any.
 *
 * @param count number of `logits`, from the first
 */
export function markDisabled(logits: Float32Array, count: number): boolean {
  let found = false;
  for (let entry = 0; entry < count; entry++) {
    if (!(logits[entry] < disabledBelow)) continue;
    logits[entry] = Number.NEGATIVE_INFINITY;
    found = true;
  }
  return found;
}

/** Sets the affinities `[tokens × experts]` of disabled experts to −∞, so that no assignment and no bound includes them. */
export function excludeDisabled({ logits, tokens, experts, hasDisabled }: TokenBatch, scores: Float64Array): void {
  if (!hasDisabled) return;
  for (let entry = 0; entry < tokens * experts; entry++) {
    if (logits[entry] === Number.NEGATIVE_INFINITY) scores[entry] = Number.NEGATIVE_INFINITY;
  }
}

/** The assignable part of a batch with disabled experts. */
export interface Assignable {
  /** `[experts]`, 1 for experts that some token can have. */
  readonly enabled: Uint8Array;
  /** Number of these experts. */
  readonly experts: number;
  /** Σ over tokens of the experts that each can have, at most K. */
  readonly pairs: number;
}

/** Returns the assignable part of a batch; null if that is all of it. */
export function assignableOf({ logits, tokens, experts, hasDisabled }: TokenBatch, topK: number): Assignable | null {
  if (!hasDisabled) return null;
  const enabled = new Uint8Array(experts);
  let pairs = 0;
  for (let row = 0; row < tokens * experts; row += experts) {
    let own = 0;
    for (let e = 0; e < experts; e++) {
      if (logits[row + e] === Number.NEGATIVE_INFINITY) continue;
      enabled[e] = 1;
      own += 1;
    }
    pairs += Math.min(topK, own);
  }
  return { enabled, experts: enabled.reduce((sum, one) => sum + one, 0), pairs };
}

/**
 * Returns the {@link expertCapacity} of a batch, for the experts and pairs that can be assigned.
 *
 * @param assignable of the batch, if it is known
 */
export function batchCapacity(
  batch: TokenBatch,
  shape: RoutingShape,
  assignable: Assignable | null = assignableOf(batch, shape.topK),
): number {
  if (assignable === null || assignable.experts === 0) return expertCapacity(batch.tokens, shape);
  return expertCapacity(assignable.pairs, { ...shape, experts: assignable.experts, topK: 1 });
}
