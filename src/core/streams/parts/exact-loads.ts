import type { Kernels } from "../../kernels/kernels.ts";

/**
 * Rounds `wanted` `[experts]` to whole `counts` `[experts]` from 0 to `most` that sum to `total`: down, then one more, or one
 * less, for those that are furthest from what is wanted; ties go to the lowest index. `total` ≤ experts · most.
 */
export function apportion(wanted: ArrayLike<number>, total: number, most: number, counts: Int32Array): void {
  let rest = total;
  for (let e = 0; e < counts.length; e++) {
    counts[e] = Math.min(most, Math.max(0, Math.floor(wanted[e])));
    rest -= counts[e];
  }
  const order = Int32Array.from(counts.keys());
  const missing = (e: number) => wanted[e] - counts[e];
  while (rest !== 0) {
    const change = Math.sign(rest);
    order.sort((a, b) => change * (missing(b) - missing(a)) || a - b);
    for (let i = 0; i < order.length && rest !== 0; i++) {
      const count = counts[order[i]] + change;
      if (count < 0 || count > most) continue;
      counts[order[i]] = count;
      rest -= change;
    }
  }
}

/** Makes plain top-k give a batch exact loads. */
export interface LoadFitter {
  /**
   * Exchanges logits `[tokens × experts]` within rows until plain top-k gives every expert `counts` `[experts]` pairs, which sum to
   * tokens · topK and are at most `tokens` each. Returns how many pairs changed their expert.
   */
  fit(logits: Float32Array, counts: Int32Array): number;
}

/**
 * A pair of an expert with too many goes to the expert with too few that has the largest logit of those that its token did not
 * select: the two exchange their logits, so that a row keeps its values and its K-th largest. Tokens take their turn in a random
 * order. If every token of an expert has all experts that lack pairs already, a third expert passes one on from another
 * token. All arrays are allocated once.
 *
 * @param uniform uniform numbers in [0, 1)
 */
export function createLoadFitter(
  kernels: Kernels,
  { tokens, experts, topK }: { readonly tokens: number; readonly experts: number; readonly topK: number },
  uniform: () => number,
): LoadFitter {
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(experts);
  const order = Int32Array.from({ length: tokens }, (_, token) => token);
  const surplus = new Int32Array(experts);
  const lacking = new Int32Array(experts);
  let logits: Float32Array = new Float32Array(0);

  function slotOf(token: number, wanted: number): number {
    const end = (token + 1) * topK;
    for (let slot = token * topK; slot < end; slot++) if (expert[slot] === wanted) return slot;
    return -1;
  }

  /** Whether the exchange would leave `other` out of the row's top-k for certain: equal logits would not. */
  function isBelow(token: number, other: number): boolean {
    return logits[token * experts + other] < logits[token * experts + expert[(token + 1) * topK - 1]];
  }

  function exchange(token: number, slot: number, other: number): void {
    const [from, to] = [token * experts + expert[slot], token * experts + other];
    const logit = logits[from];
    logits[from] = logits[to];
    logits[to] = logit;
    surplus[expert[slot]] -= 1;
    surplus[other] += 1;
    expert[slot] = other;
  }

  /** Returns the expert that lacks pairs with the largest logit of those that the token can get; −1 if there is none. */
  function bestFor(token: number, lackingCount: number): number {
    let [found, most] = [-1, Number.NEGATIVE_INFINITY];
    for (let i = 0; i < lackingCount; i++) {
      const other = lacking[i];
      const logit = logits[token * experts + other];
      if (surplus[other] >= 0 || logit <= most) continue;
      if (slotOf(token, other) < 0 && isBelow(token, other)) [found, most] = [other, logit];
    }
    return found;
  }

  /** Moves one pair from `giver` to `taker` by way of a third expert. Returns false if equal logits are in the way. */
  function passOn(giver: number, taker: number): boolean {
    for (let token = 0; token < tokens; token++) {
      const slot = slotOf(token, giver);
      if (slot < 0) continue;
      for (let other = 0; other < tokens; other++) {
        if (slotOf(other, taker) >= 0 || !isBelow(other, taker)) continue;
        for (let otherSlot = other * topK; otherSlot < (other + 1) * topK; otherSlot++) {
          const third = expert[otherSlot];
          if (slotOf(token, third) >= 0 || !isBelow(token, third)) continue;
          exchange(token, slot, third);
          exchange(other, otherSlot, taker);
          return true;
        }
      }
    }
    return false;
  }

  return {
    fit(batch, counts) {
      logits = batch;
      kernels.selectTopK(logits, "logits", null, tokens, experts, topK, expert, load);
      let [left, lackingCount] = [0, 0];
      for (let e = 0; e < experts; e++) {
        surplus[e] = load[e] - counts[e];
        if (surplus[e] > 0) left += surplus[e];
        else if (surplus[e] < 0) lacking[lackingCount++] = e;
      }
      const moved = left;
      for (let i = 0; i < tokens && left > 0; i++) {
        const drawn = i + Math.floor(uniform() * (tokens - i));
        const token = order[drawn];
        order[drawn] = order[i];
        order[i] = token;
        // The last slots first: their logits are the closest to those that were not selected.
        for (let slot = (token + 1) * topK - 1; slot >= token * topK && left > 0; slot--) {
          if (surplus[expert[slot]] <= 0) continue;
          const taker = bestFor(token, lackingCount);
          if (taker < 0) continue;
          exchange(token, slot, taker);
          left -= 1;
        }
      }
      while (left > 0) {
        const [giver, taker] = [surplus.findIndex((count) => count > 0), surplus.findIndex((count) => count < 0)];
        if (!passOn(giver, taker)) break;
        left -= 1;
      }
      return moved - left;
    },
  };
}
