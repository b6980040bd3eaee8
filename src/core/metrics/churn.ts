/** Counts the pairs that two selections of one batch share. */
export interface ChurnMeter {
  /**
   * Fraction of pairs, of tokens · topK, on which `expert` `[tokens × slots]` differs from plain top-k's choice `topKExpert`
   * `[tokens × topK]`; in [0, 1], 0 for top-k itself. A slot with −1 counts as differing unless both leave it empty, as
   * for a token with fewer than topK enabled experts.
   */
  measure(expert: Int32Array, slots: number, topKExpert: Int32Array, topK: number, tokens: number): number;
}

export function createChurnMeter(experts: number): ChurnMeter {
  const chosenByToken = new Int32Array(experts);
  return {
    measure(expert, slots, topKExpert, topK, tokens) {
      chosenByToken.fill(-1);
      let shared = 0;
      let possible = tokens * topK;
      for (let token = 0; token < tokens; token++) {
        let empty = 0;
        for (let slot = 0; slot < topK; slot++) {
          const best = topKExpert[token * topK + slot];
          if (best >= 0) chosenByToken[best] = token;
          else empty += 1;
        }
        let filled = 0;
        for (let slot = 0; slot < slots; slot++) {
          const chosen = expert[token * slots + slot];
          if (chosen < 0) continue;
          filled += 1;
          if (chosenByToken[chosen] === token) shared++;
        }
        possible -= Math.min(empty, Math.max(0, topK - filled));
      }
      return possible === 0 ? 0 : 1 - shared / possible;
    },
  };
}
