import fc from "fast-check";
import { expect } from "vitest";
import type { Kernels } from "../../src/core/kernels/kernels.ts";
import { createEntropicSolver, type EntropicOptions } from "../../src/core/transport/entropic/entropic.ts";
import { toMatrix } from "./plain.ts";
import { skewedLogits } from "./random-logits.ts";

/** Plans are written as float32: half a unit in the last place of entries up to 1, and the kernels' error of 1e-6. */
export const planTolerance = 2e-6;

/** What a new solver makes of `logits` `[tokens × experts]`, its plan in plain rows. */
export function solveEntropic(
  kernels: Kernels,
  logits: ArrayLike<number>,
  tokens: number,
  experts: number,
  options: EntropicOptions,
) {
  const solver = createEntropicSolver(kernels, tokens, experts, options);
  const buffer = kernels.allocateFloat32(tokens * experts);
  buffer.set(logits);
  const plan = kernels.allocateFloat32(tokens * experts);
  const problem = { logits: buffer, tokens };
  const solution = solver.solve(problem);
  solver.writePlan(problem, plan);
  return { ...solution, columnPotential: Array.from(solution.columnPotential), plan: toMatrix(plan, tokens, experts) };
}

const extreme = fc.oneof(
  fc.constantFrom(-1e4, -1, 0, 1, 1e4),
  fc.float({ min: -1e4, max: 1e4, noNaN: true }),
  fc.float({ min: -1, max: 1, noNaN: true }),
);

/** Small problems with logits of up to 1e4 and of any smaller size beside each other. */
export const extremeProblems = fc
  .record({ tokens: fc.integer({ min: 1, max: 8 }), experts: fc.integer({ min: 1, max: 5 }) })
  .chain(({ tokens, experts }) =>
    fc.record({
      tokens: fc.constant(tokens),
      experts: fc.constant(experts),
      logits: fc.array(extreme, { minLength: tokens * experts, maxLength: tokens * experts }),
    }),
  );

/** Expects of a solver that has solved a batch of 20 that it solves one of 7 as a fresh solver does. */
export function expectNoMemory(kernels: Kernels, options: EntropicOptions): void {
  const solver = createEntropicSolver(kernels, 20, 4, options);
  const logits = kernels.allocateFloat32(80);
  logits.set(skewedLogits("long", 20, 4, 3));
  solver.solve({ logits, tokens: 20 });
  const short = skewedLogits("short", 7, 4, 1);
  logits.set(short);
  const { iterations, marginalError, columnPotential } = solver.solve({ logits, tokens: 7 });
  const fresh = solveEntropic(kernels, short, 7, 4, options);
  expect({ iterations, marginalError, columnPotential: Array.from(columnPotential) }).toEqual({
    iterations: fresh.iterations,
    marginalError: fresh.marginalError,
    columnPotential: fresh.columnPotential,
  });
}
