import type { ScoreKind } from "../core/assignment.ts";
import type { TokenBatch } from "../core/token-batch.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createDualRegretMeter, type DualRegretMeter } from "../metrics/dual-regret.ts";
import { createOptimumFinder, type Optimum } from "../metrics/regret.ts";
import { findRouterKind } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { mostHindsightExperts } from "../transport/hindsight-bias.ts";

/** How far a router's biases were from the best bias in hindsight. */
export interface DualRegret {
  /** `[steps]`, Σ f_i(b_i) − f_i(b*) up to each step, b* the best fixed bias over the whole run. */
  readonly cumulative: Float64Array;
  /** The sum over the run is proven to be at most this from the truth, on the tokens that were kept. */
  readonly gap: number;
  /** Tokens it rests on, of all tokens; below 1 where the run is larger than what is kept of it. */
  readonly keptFraction: number;
}

/** The optimum of the batches on which the scenario asks for regret, for each kind of affinities that `routers` use. */
export function createOptima(kernels: Kernels, scenario: Scenario, routers: readonly RouterChoice[]) {
  const { every, gap } = scenario.regret;
  const kinds = every === 0 ? [] : new Set(routers.map(({ scores }) => scores));
  const finders = Array.from(kinds, (kind) => [kind, createOptimumFinder(kernels, scenario, kind, gap)] as const);
  const optima = new Map<ScoreKind, Optimum>();
  return {
    find(batch: TokenBatch): void {
      optima.clear();
      if (batch.step % every !== 0) return;
      for (const [kind, finder] of finders) optima.set(kind, finder.find(batch));
    },
    of: (kind: ScoreKind): Optimum | null => optima.get(kind) ?? null,
  };
}

/** What is kept of the batches for dual regret, for each kind of affinities that routers with a bias use. */
export function createDuals(kernels: Kernels, scenario: Scenario, routers: readonly RouterChoice[]) {
  const kinds = new Set(routers.filter((router) => hasDualRegret(scenario, router)).map(({ scores }) => scores));
  return new Map(Array.from(kinds, (kind) => [kind, createDualRegretMeter(kernels, scenario, kind)] as const));
}

/** The dual regret of the biases `[steps × experts]` that a router had before it routed each step. */
export function dualRegretOf(meter: DualRegretMeter, biases: Float64Array): DualRegret {
  const { gap, keptFraction } = meter.hindsight();
  return { cumulative: meter.regret(biases), gap, keptFraction };
}

/** Whether a router's dual regret will be known at the end. */
export function hasDualRegret({ regret, experts }: Scenario, { kind }: RouterChoice): boolean {
  return regret.every > 0 && experts <= mostHindsightExperts && findRouterKind(kind)!.hasBias === true;
}
