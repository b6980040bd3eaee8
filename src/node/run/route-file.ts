import type { Assignment } from "../../core/assignment.ts";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import type { Scenario } from "../../core/scenario/scenario.ts";
import { createRouter, openStream, withMemoryFor } from "../../core/simulation/open-scenario.ts";
import type { SolverReport } from "../../core/solver-report.ts";

/** What `routeFile` hands over for each step; all arrays are overwritten by the next. */
export interface RoutedBatch {
  readonly step: number;
  readonly tokens: number;
  readonly assignment: Assignment;
  readonly solver: SolverReport | null;
  /** `[tokens × experts]`, rows that sum to 1; null unless it was asked for. */
  readonly plan: Float32Array | null;
}

/**
 * Routes every batch of a scenario's stream through its first router, whose state goes on from batch to batch, and hands
 * each over. Throws `InputError` where the recorded data is bad or the sizes need more memory than the kernels can have.
 *
 * @param withPlan whether to write down the router's plan; only for routers that have one
 */
export async function* routeFile(
  scenario: Scenario,
  withPlan: boolean,
  backend: KernelBackend,
): AsyncGenerator<RoutedBatch> {
  const kernels = await loadKernels(backend);
  const { router, plan, stream } = await withMemoryFor(scenario, async () => ({
    router: createRouter(scenario, scenario.routers[0], kernels),
    plan: withPlan ? kernels.allocateFloat32(scenario.tokens * scenario.experts) : null,
    stream: await openStream(scenario, kernels),
  }));
  try {
    for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
      const { assignment, solver } = router.route(batch);
      if (plan !== null) router.writePlan!(batch, plan);
      yield { step: batch.step, tokens: batch.tokens, assignment, solver: solver ?? null, plan };
    }
  } finally {
    await stream.close();
  }
}
