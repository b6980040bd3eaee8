import { setImmediate } from "node:timers/promises";
import { InputError } from "../../core/input-error.ts";
import { type KernelBackend, loadKernels } from "../../core/kernels/index.ts";
import { createBatchFacts } from "../../core/metrics/step-metrics.ts";
import type { RouterChoice, Scenario } from "../../core/scenario/scenario.ts";
import { openStream, withMemoryFor } from "../../core/simulation/open-scenario.ts";
import { measuredSteps } from "../../core/simulation/regret.ts";
import { createRouterRun } from "../../core/simulation/router-run.ts";
import type { TokenBatch } from "../../core/token-batch.ts";

const withoutRegret = { scores: null, kept: null };

/**
 * The batches of a scenario's stream as `router` sees them on a run, each overwritten by the next; null for a stream that
 * does not depend on a router. Throws `InputError` where recorded data is bad, logits are not finite, or the sizes need more
 * memory than the kernels can have.
 */
export async function* streamBatches(
  scenario: Scenario,
  router: RouterChoice | null,
  backend: KernelBackend,
): AsyncGenerator<TokenBatch> {
  const kernels = await loadKernels(backend);
  const { facts, run, stream } = await withMemoryFor(scenario, async () => ({
    facts: createBatchFacts(kernels, scenario),
    run: router && createRouterRun(scenario, scenario.routers.indexOf(router), measuredSteps(scenario), kernels),
    stream: await openStream(scenario, kernels),
  }));
  try {
    for (let batch = await stream.next(); batch !== null; batch = await stream.next()) {
      checkFinite(batch);
      yield batch;
      if (run !== null) {
        facts.observe(batch);
        run.route(batch, withoutRegret);
        run.measure(batch, facts, withoutRegret, null, stream);
        stream.observe?.(run.load());
      }
      // Synthetic streams never wait, so without this neither a signal nor a progress bar would get its turn.
      await setImmediate();
    }
  } finally {
    await stream.close();
  }
}

function checkFinite({ step, tokens, experts, logits }: TokenBatch): void {
  for (let entry = 0; entry < tokens * experts; entry++) {
    if (Number.isFinite(logits[entry])) continue;
    throw new InputError(`stream: step ${step} has logits that are not finite; its parameters are too large`);
  }
}
