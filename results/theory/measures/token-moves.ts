/** How an expert's load A compares with the mean load L: A > L, A = L or A < L. */
export const loadClasses = ["overloaded", "balanced", "underloaded"] as const;

/** Counts how the tokens of a batch moved between two selections. */
export interface MoveCounter {
  /**
   * Into `moves` `[experts × experts]`, entry from·experts + to: the tokens whose experts lost `from` and gained `to`
   * between `before` and `after`, both `[tokens × topK]` with distinct experts in any order, no −1. A token that
   * exchanged m experts counts in m² entries, each leaving expert with each entering one.
   */
  count(before: Int32Array, after: Int32Array, tokens: number, moves: Int32Array): void;
}

export function createMoveCounter(experts: number, topK: number): MoveCounter {
  const leaving = new Int32Array(topK);
  const entering = new Int32Array(topK);

  /** Writes the token's experts of `chosen` that `other` lacks into `out`; returns how many. */
  function difference(chosen: Int32Array, other: Int32Array, start: number, out: Int32Array): number {
    let found = 0;
    for (let pair = start; pair < start + topK; pair++) {
      let isShared = false;
      for (let slot = start; slot < start + topK && !isShared; slot++) isShared = other[slot] === chosen[pair];
      if (!isShared) out[found++] = chosen[pair];
    }
    return found;
  }

  return {
    count(before, after, tokens, moves) {
      moves.fill(0);
      for (let token = 0; token < tokens; token++) {
        const exchanged = difference(before, after, token * topK, leaving);
        difference(after, before, token * topK, entering);
        for (let i = 0; i < exchanged; i++) {
          for (let j = 0; j < exchanged; j++) moves[leaving[i] * experts + entering[j]] += 1;
        }
      }
    },
  };
}

/**
 * Sums `moves` `[experts × experts]` over the classes of their experts into `byClass` `[3 × 3]`, rows from, columns to, in
 * the order of {@link loadClasses}. `load` `[experts]` is that of the selection before the moves: the one that the bias
 * answered.
 */
export function movesByLoadClass(moves: Int32Array, load: ArrayLike<number>, byClass: Int32Array): void {
  const experts = load.length;
  let pairs = 0;
  for (let e = 0; e < experts; e++) pairs += load[e];
  // Whole numbers are compared, so that balance is exact.
  const classOf = (e: number) => 1 - Math.sign(load[e] * experts - pairs);
  byClass.fill(0);
  for (let from = 0; from < experts; from++) {
    for (let to = 0; to < experts; to++) {
      byClass[classOf(from) * loadClasses.length + classOf(to)] += moves[from * experts + to];
    }
  }
}
