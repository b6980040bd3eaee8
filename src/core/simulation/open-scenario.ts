import { InputError } from "../input-error.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createRandom } from "../random.ts";
import { findRouterKind } from "../routers/index.ts";
import type { Router } from "../routers/router.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { findStreamKind } from "../streams/index.ts";
import type { Stream } from "../streams/stream.ts";
import { counted } from "../words.ts";

/** Whether the scenario's stream trains on how its batches are routed. */
export function trains({ stream }: Scenario): boolean {
  return findStreamKind(stream.kind)!.trains ?? false;
}

/** A router of a scenario in its first state; its random numbers depend on the scenario's seed and its kind alone. */
export function createRouter(scenario: Scenario, { kind, scores, options }: RouterChoice, kernels: Kernels): Router {
  const random = createRandom(scenario.seed).derive(`router/${kind}`);
  return findRouterKind(kind)!.create({ shape: scenario, scores, kernels, trained: trains(scenario), random }, options);
}

/** The scenario's stream at its first batch. */
export function openStream({ seed, stream, folder, ...shape }: Scenario, kernels: Kernels): Promise<Stream> {
  const random = createRandom(seed).derive(`stream/${stream.kind}`);
  return findStreamKind(stream.kind)!.create({ shape, kernels, random, folder }, stream.options);
}

/** Runs `allocate`; a scenario that needs more memory than kernels can have is the user's to mend: `InputError`. */
export async function withMemoryFor<Result>(scenario: Scenario, allocate: () => Promise<Result>): Promise<Result> {
  try {
    return await allocate();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const { tokens, experts, routers, regret } = scenario;
    const wayOut = regret.every > 0 ? " Regret takes part of the memory; regret.every: 0 turns it off." : "";
    throw new InputError(
      `${tokens} tokens × ${experts} experts for ${counted(routers.length, "router")}: ${error.message}${wayOut}`,
    );
  }
}
