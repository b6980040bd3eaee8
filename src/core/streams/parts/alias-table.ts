/** Draws indices 0 … count − 1 with given weights, in constant time per draw. */
export interface AliasTable {
  /** Replaces the weights `[count]`, non-negative with a positive sum; they need not sum to 1. O(count). */
  setWeights(weights: ArrayLike<number>): void;
  /** Returns the index for `uniform` in [0, 1). With b bits, an index's probability is off by about 2^−b. */
  draw(uniform: number): number;
}

/**
 * The alias method: `count` columns of equal width, each shared by at most two indices, so that one uniform number
 * chooses the column with its leading and the index with its trailing bits. Walker 1977; construction as in Vose 1991.
 */
export function createAliasTable(weights: ArrayLike<number>): AliasTable {
  const count = weights.length;
  /** The share of each column, in [0, 1], that belongs to the column's own index. */
  const share = new Float64Array(count);
  const alias = new Int32Array(count);
  const worklist = new Int32Array(count);

  function setWeights(next: ArrayLike<number>): void {
    let total = 0;
    for (let index = 0; index < count; index++) total += next[index];
    // Columns with room to spare are kept at the front of the worklist, overfull ones at its back.
    let underfull = 0;
    let overfull = count;
    for (let index = 0; index < count; index++) {
      share[index] = (next[index] / total) * count;
      alias[index] = index;
      if (share[index] < 1) worklist[underfull++] = index;
      else worklist[--overfull] = index;
    }
    while (underfull > 0 && overfull < count) {
      const receiver = worklist[--underfull];
      const giver = worklist[overfull];
      alias[receiver] = giver;
      share[giver] -= 1 - share[receiver];
      if (share[giver] < 1) {
        overfull += 1;
        worklist[underfull++] = giver;
      }
    }
    // The remaining columns differ from full ones only by rounding.
    while (underfull > 0) share[worklist[--underfull]] = 1;
    while (overfull < count) share[worklist[overfull++]] = 1;
  }

  setWeights(weights);
  return {
    setWeights,
    draw(uniform) {
      const place = uniform * count;
      const column = Math.floor(place);
      // −1, all bits, in the column's own share and 0 beyond it: a branch on a random number is mispredicted half the time.
      const own = Math.floor(place - column - share[column]);
      return (column & own) | (alias[column] & ~own);
    },
  };
}
