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

/** min ⟨−S, P⟩ + (γ/2)·‖P‖² over plans with at most k non-zeros a column: a lower bound and the best plan's value. */
export interface SparseColumnsOptimum {
  /** No plan is worth less, up to {@link highsTolerance} and the options below. */
  readonly bound: number;
  /** Of a plan that was found; ∞ if there is none. */
  readonly value: number;
}

/**
 * The mixed-integer optimum of sparsity-constrained transport, by outer approximation (Duran & Grossmann 1986): HiGHS
 * solves a mixed-integer linear program with p² replaced by q ≥ 2a·p − a²·z, the tangents of its perspective, z ∈ {0, 1}
 * whether an entry is in the support; `solveSupport` gives the best plan on the support found, if it can, whose entries
 * are the next a, as those of the program's own plan are. Ends when the bound is within `gap` of the best plan.
 */
export function highsSparseColumns(
  affinity: Matrix,
  k: number,
  gamma: number,
  gap: number,
  solveSupport: (isIn: (t: number, e: number) => boolean) => Matrix | undefined,
): SparseColumnsOptimum {
  const [tokens, experts] = [affinity.length, affinity[0].length];
  const entries = tokens * experts;
  const [p, q, z] = [0, entries, 2 * entries];
  const pairs = Array.from({ length: entries }, (_, i) => ({ t: Math.floor(i / experts), e: i % experts }));
  const tangents = pairs.map(() => new Set([0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1]));
  let best = Number.POSITIVE_INFINITY;

  function solveMaster(): { bound: number; plan: Matrix; support: boolean[] } | undefined {
    const rows: { lower: number; upper: number; entries: [number, number][] }[] = [];
    const inf = highs.infinity;
    for (let t = 0; t < tokens; t++) {
      const row = pairs.flatMap((pair, i): [number, number][] => (pair.t === t ? [[p + i, 1]] : []));
      rows.push({ lower: 1, upper: 1, entries: row });
    }
    for (let e = 0; e < experts; e++) {
      const own = pairs.flatMap((pair, i) => (pair.e === e ? [i] : []));
      rows.push({ lower: tokens / experts, upper: tokens / experts, entries: own.map((i) => [p + i, 1]) });
      rows.push({ lower: 0, upper: k, entries: own.map((i) => [z + i, 1]) });
    }
    pairs.forEach((_, i) => {
      rows.push({
        lower: -inf,
        upper: 0,
        entries: [
          [p + i, 1],
          [z + i, -1],
        ],
      });
      for (const a of tangents[i]) {
        rows.push({
          lower: 0,
          upper: inf,
          entries: [
            [q + i, 1],
            [p + i, -2 * a],
            [z + i, a * a],
          ],
        });
      }
    });
    const columns = Array.from({ length: 3 * entries }, (): [number, number][] => []);
    rows.forEach((row, r) => {
      for (const [column, weight] of row.entries) columns[column].push([r, weight]);
    });
    const starts = [0];
    for (const column of columns) starts.push(starts[starts.length - 1] + column.length);
    const { continuous, integer } = highs.constants.variableType;
    const model = {
      numRows: rows.length,
      numCols: 3 * entries,
      colCost: columns.map((_, c) => (c < q ? -affinity[pairs[c].t][pairs[c].e] : c < z ? gamma / 2 : 0)),
      colLower: columns.map(() => 0),
      colUpper: columns.map(() => 1),
      rowLower: rows.map(({ lower }) => lower),
      rowUpper: rows.map(({ upper }) => upper),
      matrix: {
        format: "csc" as const,
        numRows: rows.length,
        numCols: 3 * entries,
        starts,
        indices: columns.flatMap((column) => column.map(([r]) => r)),
        values: columns.flatMap((column) => column.map(([, weight]) => weight)),
      },
      integrality: columns.map((_, c) => (c < z ? continuous : integer)),
    };
    return highs.withModel(model, (solver) => {
      solver.options.set({ output_flag: false, mip_rel_gap: 0, mip_abs_gap: gap / 4 });
      solver.run();
      if (solver.getModelStatus() !== highs.constants.modelStatus.optimal) return undefined;
      const values = Array.from(solver.getSolution().colValue as ArrayLike<number>);
      return {
        bound: solver.getObjectiveValue() - gap / 4,
        plan: affinity.map((row, t) => row.map((_, e) => values[p + t * experts + e])),
        support: pairs.map((_, i) => values[z + i] > 0.5),
      };
    });
  }

  for (let round = 0; round < 60; round++) {
    const found = solveMaster();
    if (found === undefined) return { bound: best, value: best };
    for (const plan of [found.plan, solveSupport((t, e) => found.support[t * experts + e])]) {
      if (plan === undefined) continue;
      best = Math.min(
        best,
        plan.flat().reduce((sum, mass, i) => sum - affinity.flat()[i] * mass + (gamma / 2) * mass * mass, 0),
      );
      plan.flat().forEach((mass, i) => {
        if (mass > 1e-9) tangents[i].add(mass);
      });
    }
    if (best - found.bound <= gap) return { bound: found.bound, value: best };
  }
  throw new Error("the outer approximation did not close");
}

/**
 * The least load of the heaviest of `gpus` GPUs over all placements of `load` `[experts]` in `slots` slots, as a mixed-integer
 * program: binary z_en = 1 if expert e has n replicas, integer y_eng of them on GPU g, Σ_g y_eng = n·z_en. GPUs are in the order
 * of their loads, as any solution can be. `known`, the load of some placement, only shortens the search.
 */
export function highsPlacement(load: readonly number[], gpus: number, slots: number, known: number): number {
  const mostReplicas = slots - load.length + 1;
  const rowLower: number[] = [];
  const rowUpper: number[] = [];
  const row = (lower: number, upper: number) => {
    rowUpper.push(upper);
    return rowLower.push(lower) - 1;
  };
  const each = <Row>(count: number, make: () => Row) => Array.from({ length: count }, make);
  const numberOf = each(load.length, () => row(1, 1));
  const filled = each(gpus, () => row(slots / gpus, slots / gpus));
  const loaded = each(gpus, () => row(-highs.infinity, 0));
  const ordered = each(gpus - 1, () => row(0, highs.infinity));
  const columns: { upper: number; isInteger: boolean; entries: [row: number, value: number][] }[] = [
    { upper: known * (1 + 1e-6), isInteger: false, entries: loaded.map((at) => [at, -1]) },
  ];
  for (const [e, expertLoad] of load.entries()) {
    for (let n = 1; n <= mostReplicas; n++) {
      const linked = row(0, 0);
      columns.push({
        upper: 1,
        isInteger: true,
        entries: [
          [numberOf[e], 1],
          [linked, -n],
        ],
      });
      for (let gpu = 0; gpu < gpus; gpu++) {
        const entries: [number, number][] = [
          [linked, 1],
          [filled[gpu], 1],
          [loaded[gpu], expertLoad / n],
        ];
        if (gpu < gpus - 1) entries.push([ordered[gpu], expertLoad / n]);
        if (gpu > 0) entries.push([ordered[gpu - 1], -expertLoad / n]);
        columns.push({ upper: Math.min(n, slots / gpus), isInteger: true, entries });
      }
    }
  }
  const [numRows, numCols] = [rowLower.length, columns.length];
  const { integer, continuous } = highs.constants.variableType;
  const starts = [0];
  for (const { entries } of columns) starts.push(starts[starts.length - 1] + entries.length);
  const model = {
    numRows,
    numCols,
    sense: highs.constants.objectiveSense.minimize,
    colCost: columns.map((_, column) => (column === 0 ? 1 : 0)),
    colLower: new Array<number>(numCols).fill(0),
    colUpper: columns.map(({ upper }) => upper),
    rowLower,
    rowUpper,
    integrality: columns.map(({ isInteger }) => (isInteger ? integer : continuous)),
    matrix: {
      format: "csc" as const,
      numRows,
      numCols,
      starts,
      indices: columns.flatMap(({ entries }) => entries.map(([at]) => at)),
      values: columns.flatMap(({ entries }) => entries.map(([, value]) => value)),
    },
  };
  return highs.withModel(model, (solver) => {
    solver.options.set({ output_flag: false, mip_rel_gap: 0, mip_abs_gap: 1e-6 });
    solver.run();
    if (solver.getModelStatus() !== highs.constants.modelStatus.optimal) throw new Error("HiGHS found no optimum");
    return (solver.getSolution().colValue as ArrayLike<number>)[0];
  });
}
