/** Chooses the best experts at given prices, for one token at a time. */
export interface PricedChoice {
  /** `[topK]`, the experts chosen last; the first `count()` are valid. */
  readonly expert: Int32Array;
  count(): number;
  /**
   * Chooses the K experts with the largest values S_e − p_e ≥ 0 of the token whose scores begin at `row`, and returns the
   * sum of these values. Of values that differ only by rounding it takes the expert with the smaller `load`, so that equal
   * tokens spread.
   */
  choose(scores: Float64Array, row: number, price: Float64Array, load: ArrayLike<number>): number;
}

// Relative to the compared numbers.
const tieError = 1e-14;

export function createPricedChoice(experts: number, topK: number): PricedChoice {
  const kept = Math.min(topK + 1, experts);
  // One more than is chosen, to detect a tie at the edge.
  const best = new Float64Array(kept);
  const bestExpert = new Int32Array(kept);
  const expert = new Int32Array(topK);
  let count = 0;

  function rank(scores: Float64Array, row: number, price: Float64Array): number {
    let found = 0;
    for (let e = 0; e < experts; e++) {
      const value = scores[row + e] - price[e];
      if (value < 0 || (found === kept && value <= best[kept - 1])) continue;
      let place = found < kept ? found++ : kept - 1;
      for (; place > 0 && best[place - 1] < value; place--) {
        best[place] = best[place - 1];
        bestExpert[place] = bestExpert[place - 1];
      }
      best[place] = value;
      bestExpert[place] = e;
    }
    return found;
  }

  function isTaken(e: number, from: number, to: number): boolean {
    for (let place = from; place < to; place++) if (expert[place] === e) return true;
    return false;
  }

  /** Fills the places from the first tied with the edge, each with the least loaded of the tied experts. */
  function settleTies(
    scores: Float64Array,
    row: number,
    price: Float64Array,
    load: ArrayLike<number>,
    margin: number,
  ): void {
    const edge = best[topK - 1];
    let place = topK - 1;
    while (place > 0 && best[place - 1] - edge <= margin) place -= 1;
    for (const firstTied = place; place < topK; place++) {
      let least = -1;
      for (let e = 0; e < experts; e++) {
        if (Math.abs(scores[row + e] - price[e] - edge) > margin || isTaken(e, firstTied, place)) continue;
        if (least < 0 || load[e] < load[least]) least = e;
      }
      expert[place] = least;
    }
  }

  return {
    expert,
    count: () => count,
    choose(scores, row, price, load) {
      const found = rank(scores, row, price);
      count = Math.min(found, topK);
      let total = 0;
      for (let place = 0; place < count; place++) {
        total += best[place];
        expert[place] = bestExpert[place];
      }
      if (found > topK) {
        const margin = tieError * (Math.abs(scores[row + bestExpert[topK]]) + price[bestExpert[topK]]);
        if (best[topK - 1] - best[topK] <= margin) settleTies(scores, row, price, load, margin);
      }
      return total;
    },
  };
}
