/** Counts the tokens that a small change of the bias can move. */
export interface BoundaryCounter {
  /**
   * Into `inside` `[experts]` the tokens t with 0 ≤ m_te ≤ `width`, into `outside` those with −`width` ≤ m_te ≤ 0. The
   * margin m_te is S_te + b_e less the K-th largest S_tj + b_j of the other experts j: the token is on expert e when
   * m_te > 0 and not when m_te < 0. `scores` S `[tokens × experts]`, `bias` b `[experts]`. With K = E every token is on
   * every expert, far inside.
   */
  count(
    scores: Float64Array,
    bias: Float64Array,
    tokens: number,
    width: number,
    inside: Int32Array,
    outside: Int32Array,
  ): void;
}

/**
 * When no component of the bias moves by more than u, no margin moves by more than 2u: tokens that leave expert e are
 * among the ones inside within 2u, tokens that join it among the ones outside.
 */
export function createBoundaryCounter(experts: number, topK: number): BoundaryCounter {
  const key = new Float64Array(experts);
  /** The topK + 1 largest keys of the row, descending. */
  const largest = new Float64Array(topK + 1);

  function rank(scores: Float64Array, bias: Float64Array, row: number): void {
    largest.fill(Number.NEGATIVE_INFINITY);
    for (let e = 0; e < experts; e++) {
      key[e] = scores[row + e] + bias[e];
      let place = topK;
      if (key[e] <= largest[place]) continue;
      for (; place > 0 && key[e] > largest[place - 1]; place--) largest[place] = largest[place - 1];
      largest[place] = key[e];
    }
  }

  return {
    count(scores, bias, tokens, width, inside, outside) {
      inside.fill(0);
      outside.fill(0);
      for (let row = 0; row < tokens * experts; row += experts) {
        rank(scores, bias, row);
        const last = largest[topK - 1];
        const next = largest[topK];
        for (let e = 0; e < experts; e++) {
          // Without e, the K-th of the others is the row's (K + 1)-th when e is among the K, otherwise the row's K-th.
          const margin = key[e] - (key[e] >= last ? next : last);
          if (margin >= 0 && margin <= width) inside[e] += 1;
          if (margin <= 0 && margin >= -width) outside[e] += 1;
        }
      }
    },
  };
}
