import { createRequire } from "node:module";
import type { Matrix } from "./plain.ts";

/** (‖P·1 − 1‖₁ + ‖Pᵀ·1 − T/E‖₁) / T. */
export function marginalErrorOf(plan: Matrix): number {
  const [tokens, experts] = [plan.length, plan[0].length];
  let error = 0;
  for (const row of plan) error += Math.abs(row.reduce((sum, mass) => sum + mass, 0) - 1);
  for (let e = 0; e < experts; e++) error += Math.abs(plan.reduce((sum, row) => sum + row[e], 0) - tokens / experts);
  return error / tokens;
}

type SolveQuadraticProgram = (
  quadratic: Matrix,
  linear: number[],
  constraints: Matrix,
  bounds: number[],
  equalities: number,
) => { solution: number[]; message: string };
const quadprog = createRequire(import.meta.url)("quadprog") as { solveQP: SolveQuadraticProgram };

/** The quadratically regularised plan on `support` by Goldfarb and Idnani's dual method; undefined where infeasible. */
export function quadraticProgram(
  affinity: Matrix,
  gamma: number,
  isIn: (t: number, e: number) => boolean,
): Matrix | undefined {
  const [tokens, experts] = [affinity.length, affinity[0].length];
  const pairs = affinity.flatMap((row, t) => row.map((_, e) => [t, e])).filter(([t, e]) => isIn(t, e));
  const columns: { of: (pair: number[], i: number) => number; bound: number }[] = [];
  for (let t = 0; t < tokens; t++) columns.push({ of: (pair) => Number(pair[0] === t), bound: 1 });
  // The last column follows from the others, and the method wants independent equalities.
  for (let e = 0; e < experts - 1; e++) columns.push({ of: (pair) => Number(pair[1] === e), bound: tokens / experts });
  const equalities = columns.length;
  pairs.forEach((_, i) => {
    columns.push({ of: (_pair, j) => Number(i === j), bound: 0 });
  });
  // The library counts from 1.
  const from1 = <Value>(values: Value[]) => [undefined as Value, ...values];
  const { solution, message } = quadprog.solveQP(
    from1(pairs.map((_, i) => from1(pairs.map((__, j) => (i === j ? gamma : 0))))),
    from1(pairs.map(([t, e]) => affinity[t][e])),
    from1(pairs.map((pair, i) => from1(columns.map(({ of }) => of(pair, i))))),
    from1(columns.map(({ bound }) => bound)),
    equalities,
  );
  if (message !== "") return undefined;
  const plan = affinity.map((row) => row.map(() => 0));
  pairs.forEach(([t, e], i) => {
    plan[t][e] = solution[i + 1];
  });
  // Dependent equalities that contradict each other pass unnoticed.
  return marginalErrorOf(plan) < 1e-9 ? plan : undefined;
}
