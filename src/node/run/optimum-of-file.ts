import { expertCapacity } from "../../core/assignment.ts";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import type { KeyKind } from "../../core/kernels/kernels.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { openStream, withMemoryFor } from "../../core/simulation/open-scenario.ts";
import { createAssignmentSolver } from "../../core/transport/assignment/exact-assignment.ts";

export interface OptimumOptions {
  /** What is summed up: affinities, or the logits themselves, of which negative ones are never assigned. */
  readonly scores: KeyKind;
  /** Tokens that an expert may have; the scenario's capacity where undefined. */
  readonly capacity: number | undefined;
  /** How far from the optimum, per pair of tokens · topK, is good enough. */
  readonly gap: number;
}

/** The best total score of a batch's assignments, and its proof. */
export interface BatchOptimum {
  readonly optimum: number;
  readonly upperBound: number;
  readonly exact: boolean;
}

/**
 * Yields the optimum of every batch of the scenario's stream, each search started from the prices of the one before.
 * Throws `InputError` where the recorded data is bad or the sizes need more memory than the kernels can have.
 */
export async function* optimumOfFile(
  scenario: Scenario,
  { scores: kind, capacity, gap }: OptimumOptions,
  backend: KernelBackend,
): AsyncGenerator<BatchOptimum> {
  const kernels = await loadKernels(backend);
  const { tokens: most, experts, topK } = scenario;
  const { scores, solver, stream } = await withMemoryFor(scenario, async () => ({
    scores: kernels.allocateFloat64(most * experts),
    solver: createAssignmentSolver(kernels, most, experts, topK, { gap }),
    stream: await openStream(scenario, kernels),
  }));
  try {
    for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
      const { logits, tokens } = batch;
      kernels.affinities(logits, kind, tokens, experts, scores);
      const problem = { scores, tokens, capacity: capacity ?? expertCapacity(tokens, scenario) };
      const { value, upperBound, exact } = solver.solve(problem);
      yield { optimum: value, upperBound, exact };
    }
  } finally {
    await stream.close();
  }
}
