import type { ScoreKind } from "../core/assignment.ts";
import type { TokenBatch } from "../core/token-batch.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createOptimumFinder, type Optimum } from "../metrics/regret.ts";
import { findRouterKind } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { mostHindsightExperts } from "../transport/hindsight-bias.ts";

/** The optima of the batches on steps first·every … (end − 1)·every, by one kind of affinities. */
export interface OptimumPart {
  readonly scores: ScoreKind;
  readonly first: number;
  readonly end: number;
}

/** Whether the optimum of the batch on `step` is one of `part`. */
export function isInPart(scenario: Scenario, { first, end }: OptimumPart, step: number): boolean {
  const problem = step / scenario.regret.every;
  return hasRegret(scenario, step) && first <= problem && problem < end;
}

/** Exact optima in succession whose search starts from the prices of the one before. */
const exactChain = 8;

/** Whether the scenario asks for the regret of a step. */
function hasRegret({ regret }: Scenario, step: number): boolean {
  return regret.every > 0 && step % regret.every === 0;
}

/** On how many steps that is. */
export function problemCount({ steps, regret }: Scenario): number {
  return regret.every === 0 ? 0 : Math.ceil(steps / regret.every);
}

/**
 * After how many optima the search starts anew, so that threads can share them out and still all find the same. Where
 * they need not be exact they are as good as where the search started, and it starts but once.
 */
export function chainLength({ regret }: Scenario): number {
  return regret.gap > 0 ? Number.POSITIVE_INFINITY : exactChain;
}

/** The first of `routers` whose own work proves the optimum by `scores` as exactly as the scenario asks, if any does. */
export function optimumRouter(
  { regret }: Scenario,
  routers: readonly RouterChoice[],
  scores: ScoreKind,
): RouterChoice | undefined {
  return routers.find((router) => {
    const gap = findRouterKind(router.kind)!.optimumGap?.(router.options);
    return router.scores === scores && gap !== undefined && gap <= regret.gap;
  });
}

/** The kinds of affinities by which some of `routers` have dual regret. */
export function dualKinds(scenario: Scenario, routers: readonly RouterChoice[]): ScoreKind[] {
  return Array.from(new Set(routers.filter((router) => hasDualRegret(scenario, router)).map(({ scores }) => scores)));
}

/** Whether a router's dual regret will be known at the end. */
export function hasDualRegret({ regret, experts }: Scenario, { kind }: RouterChoice): boolean {
  return regret.every > 0 && experts <= mostHindsightExperts && findRouterKind(kind)!.hasBias === true;
}

/** What regret on the present batch is measured by, for each kind of affinities. */
export interface Optima {
  find(batch: TokenBatch): void;
  /** S `[tokens × experts]`, float64; null on steps without regret. */
  scores(kind: ScoreKind): Float64Array | null;
  /** Null on steps without regret, and where it is no part of those that are to be found here. */
  optimum(kind: ScoreKind): Optimum | null;
  /** The prices `[experts]` from which the next searches begin, all that is remembered of the batches before. */
  prices(): OptimumPrices;
}

export type OptimumPrices = ReadonlyMap<ScoreKind, Float64Array>;

/**
 * The affinities that `routers` use on the batches on which the scenario asks for regret, and the optima of `parts`.
 *
 * @param prices of others of the same parts, to go on from
 */
export function createOptima(
  kernels: Kernels,
  scenario: Scenario,
  routers: readonly RouterChoice[],
  parts: readonly OptimumPart[],
  prices?: OptimumPrices,
): Optima {
  const { tokens, experts, regret } = scenario;
  const kinds = regret.every === 0 ? [] : new Set([...routers, ...parts].map(({ scores }) => scores));
  const searches = Array.from(kinds, (kind) => {
    const own = parts.filter((part) => part.scores === kind);
    const scores = kernels.allocateFloat64(tokens * experts);
    const finder = own.length === 0 ? null : createOptimumFinder(kernels, scenario, regret.gap);
    const price = prices?.get(kind);
    if (price !== undefined) finder?.price.set(price);
    return { kind, own, scores, finder };
  });
  const found = new Map<ScoreKind, { readonly scores: Float64Array; readonly optimum: Optimum | null }>();
  return {
    find({ step, logits, tokens: count }) {
      found.clear();
      if (!hasRegret(scenario, step)) return;
      for (const { kind, own, scores, finder } of searches) {
        kernels.affinities(logits, kind, count, experts, scores);
        let optimum = null;
        if (finder !== null && own.some((part) => isInPart(scenario, part, step))) {
          if ((step / regret.every) % chainLength(scenario) === 0) finder.restart();
          optimum = finder.find(scores, count);
        }
        found.set(kind, { scores, optimum });
      }
    },
    scores: (kind) => found.get(kind)?.scores ?? null,
    optimum: (kind) => found.get(kind)?.optimum ?? null,
    prices: () =>
      new Map(searches.flatMap(({ kind, finder }) => (finder === null ? [] : [[kind, finder.price] as const]))),
  };
}
