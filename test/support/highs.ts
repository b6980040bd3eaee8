import highsModule from "highs";
import type { Matrix } from "./plain.ts";

// The package's types are those of its CommonJS form; imported as an ES module, its default is the loader itself.
const loadHighs = highsModule as unknown as typeof highsModule.default;
const highs = await loadHighs();

/** How much a column's reduced cost may have the wrong sign in an answer of HiGHS: the tightest that it takes. */
export const highsTolerance = 1e-10;

/**
 * The x `[tokens × experts]`, flat, of a vertex that maximises Σ `colCost`·x over 0 ≤ x ≤ 1, each row's Σ x in `tokenRange`
 * and each column's Σ of x weighted by `weights` `[tokens]` in `expertRange`, by the simplex method of HiGHS (Huangfu &
 * Hall 2018). Throws where the answer is not optimal.
 */
function solveTransport(
  colCost: number[],
  weights: readonly number[],
  tokenRange: readonly [number, number],
  expertRange: readonly [number, number],
): number[] {
  const tokens = weights.length;
  const experts = colCost.length / tokens;
  const [numRows, numCols] = [tokens + experts, tokens * experts];
  const pairs = Array.from({ length: numCols }, (_, pair) => ({ t: Math.floor(pair / experts), e: pair % experts }));
  const ranges = Array.from({ length: numRows }, (_, row) => (row < tokens ? tokenRange : expertRange));
  const model = {
    numRows,
    numCols,
    sense: highs.constants.objectiveSense.maximize,
    colCost,
    colLower: new Array<number>(numCols).fill(0),
    colUpper: new Array<number>(numCols).fill(1),
    rowLower: ranges.map(([least]) => least),
    rowUpper: ranges.map(([, most]) => most),
    matrix: {
      format: "csc" as const,
      numRows,
      numCols,
      starts: Array.from({ length: numCols + 1 }, (_, column) => 2 * column),
      indices: pairs.flatMap(({ t, e }) => [t, tokens + e]),
      values: pairs.flatMap(({ t }) => [1, weights[t]]),
    },
  };
  return highs.withModel(model, (solver) => {
    solver.options.set({ output_flag: false, solver: "simplex", dual_feasibility_tolerance: highsTolerance });
    solver.run();
    if (solver.getModelStatus() !== highs.constants.modelStatus.optimal) throw new Error("HiGHS found no optimum");
    return Array.from(solver.getSolution().colValue as ArrayLike<number>);
  });
}

/**
 * max Σ S·x over 0 ≤ x ≤ 1 with at most `topK` for each token and at most `capacity` on each expert, as a linear program.
 * The constraints are those of a bipartite graph, so that every vertex is integral. Returns the value of HiGHS's
 * assignment, summed here: no more than the optimum whatever HiGHS did, and short of it by at most {@link highsTolerance}
 * for each pair that HiGHS would have to add or drop. Throws where the answer is not optimal, not integral, or not allowed.
 */
export function highsOptimum(scores: Matrix, topK: number, capacity: number): number {
  const [tokens, experts] = [scores.length, scores[0].length];
  const weights = new Array<number>(tokens).fill(1);
  const shares = solveTransport(scores.flat(), weights, [-highs.infinity, topK], [-highs.infinity, capacity]);
  const used = new Array<number>(tokens + experts).fill(0);
  let value = 0;
  shares.forEach((share, pair) => {
    const x = Math.round(share);
    // The tolerance of HiGHS on bounds is 1e-7.
    if (Math.abs(share - x) > 1e-6) throw new Error(`HiGHS gave a pair ${share}`);
    const [t, e] = [Math.floor(pair / experts), pair % experts];
    value += x * scores[t][e];
    used[t] += x;
    used[tokens + e] += x;
  });
  if (used.some((pairs, row) => pairs > (row < tokens ? topK : capacity))) throw new Error("HiGHS broke a constraint");
  return value;
}

/**
 * max Σ_t w_t·S_te·x_te over 0 ≤ x ≤ 1 with Σ_e x_te = `topK` for each token and Σ_t w_t·x_te = `share` on each expert: the
 * linear program whose dual is the best fixed bias of a run. Tokens count for `weights` `[tokens]`.
 */
export function highsSharedOptimum(scores: Matrix, weights: number[], topK: number, share: number): number {
  const colCost = scores.flatMap((row, t) => row.map((score) => weights[t] * score));
  const shares = solveTransport(colCost, weights, [topK, topK], [share, share]);
  return shares.reduce((sum, x, column) => sum + x * colCost[column], 0);
}
