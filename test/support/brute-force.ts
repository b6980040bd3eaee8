import type { Matrix } from "./plain.ts";

/**
 * max Σ S·x over x ∈ {0, 1} with at most `topK` for each token and at most `capacity` on each expert, by trying every set
 * of experts for every token in turn: up to 2^(tokens · experts) assignments.
 */
export function bruteForceOptimum(scores: Matrix, topK: number, capacity: number): number {
  const experts = scores[0].length;
  const sets = Array.from({ length: 2 ** experts }, (_, bits) =>
    [...Array(experts).keys()].filter((e) => ((bits >> e) & 1) === 1),
  ).filter((set) => set.length <= topK);

  function best(token: number, free: readonly number[]): number {
    if (token === scores.length) return 0;
    const values = sets
      .filter((set) => set.every((e) => free[e] > 0))
      .map((set) => {
        const left = free.map((seats, e) => (set.includes(e) ? seats - 1 : seats));
        return set.reduce((sum, e) => sum + scores[token][e], 0) + best(token + 1, left);
      });
    return Math.max(...values);
  }
  return best(0, new Array<number>(experts).fill(capacity));
}
