/** Counts the pairs that two selections of one batch share. */
export interface ChurnMeter {
  /**
   * Fraction of pairs, of tokens · topK, on which `expert` `[tokens × slots]` differs from plain top-k's choice `topKExpert`
   * `[tokens × topK]`; in [0, 1], 0 for top-k itself. Slots with −1 count as differing.
   */
  measure(expert: Int32Array, slots: number, topKExpert: Int32Array, topK: number, tokens: number): number;
}

export function createChurnMeter(experts: number): ChurnMeter {
  const chosenByToken = new Int32Array(experts);
  return {
    measure(expert, slots, topKExpert, topK, tokens) {
      chosenByToken.fill(-1);
      let shared = 0;
      for (let token = 0; token < tokens; token++) {
        for (let slot = 0; slot < topK; slot++) chosenByToken[topKExpert[token * topK + slot]] = token;
        for (let slot = 0; slot < slots; slot++) {
          const chosen = expert[token * slots + slot];
          if (chosen >= 0 && chosenByToken[chosen] === token) shared++;
        }
      }
      return 1 - shared / (tokens * topK);
    },
  };
}
