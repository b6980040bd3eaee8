import type { ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createOptimumFinder, type Optimum } from "../metrics/regret.ts";
import { createRandom } from "../random.ts";
import { findRouterKind } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { createStratifiedSample, type StratifiedSample } from "../stratified-sample.ts";
import type { TokenBatch } from "../token-batch.ts";
import { mostHindsightExperts } from "../transport/hindsight/hindsight-bias.ts";

/** The optima of the batches on the `first` … `end` − 1-th of the measured steps. */
export interface OptimumPart {
  readonly first: number;
  readonly end: number;
}

/** Exact optima in succession whose search starts from the prices of the one before. */
const exactChain = 8;

/** The most parts that optima are shared out in: looking for a step's part takes time on every step. */
const mostParts = 64;

/**
 * The steps on which regret is measured: one of each stratum of `regret.every`, drawn by the seed alone, so that all routers,
 * passes and threads measure the same steps, and a run of more steps those of a shorter one. None if `every` is 0.
 *
 * @param steps of the run; ∞ if that is not known
 */
export function measuredSteps({ seed, regret, ...scenario }: Scenario, steps = scenario.steps): StratifiedSample {
  const random = createRandom(seed).derive("regret");
  return regret.every === 0
    ? createStratifiedSample(0, 1, random)
    : createStratifiedSample(steps, regret.every, random);
}

/**
 * After how many optima the search starts again from scratch, so that threads can share the optima out and still all find
 * the same. Where they need not be exact they are as good as where the search started, and it starts but once.
 */
function chainLength({ regret }: Scenario): number {
  return regret.gap > 0 ? Number.POSITIVE_INFINITY : exactChain;
}

/** The optima of a run in parts that do not depend on each other, nor on the number of threads. */
export function optimumParts(scenario: Scenario): OptimumPart[] {
  const count = measuredSteps(scenario).strata;
  if (count === 0) return [];
  const chain = Math.min(chainLength(scenario), count);
  const length = chain * Math.ceil(count / (chain * mostParts));
  return Array.from({ length: Math.ceil(count / length) }, (_, part) => ({
    first: part * length,
    end: Math.min((part + 1) * length, count),
  }));
}

/** The first of `routers` whose own work proves the measured optimum as exactly as the scenario asks, if any does. */
export function optimumRouter(
  { regret, measure }: Scenario,
  routers: readonly RouterChoice[],
): RouterChoice | undefined {
  return routers.find((router) => {
    const gap = findRouterKind(router.kind)!.optimumGap?.(router.options);
    return router.scores === measure.scores && gap !== undefined && gap <= regret.gap;
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

/** What regret on the present batch is measured by. */
export interface Optima {
  find(batch: TokenBatch): void;
  /** S `[tokens × experts]`, float64, by the measured affinities; null on steps without regret. */
  scores(): Float64Array | null;
  /** Null on steps without regret, and if it is in none of the parts that are to be found here. */
  optimum(): Optimum | null;
  /** `[experts]`, from which the next search begins, all that is remembered of the batches before; null if none is sought. */
  price(): Float64Array | null;
}

/**
 * The measured affinities of the batches on the steps of `sample`, and the optima of `parts`.
 *
 * @param price of another of the same parts, to resume from
 */
export function createOptima(
  kernels: Kernels,
  scenario: Scenario,
  sample: StratifiedSample,
  parts: readonly OptimumPart[],
  price?: Float64Array | null,
): Optima {
  const { tokens, experts, regret, measure } = scenario;
  const affinities = sample.strata === 0 ? null : kernels.allocateFloat64(tokens * experts);
  const finder = parts.length === 0 ? null : createOptimumFinder(kernels, scenario, regret.gap);
  const chain = chainLength(scenario);
  if (price) finder?.price.set(price);
  let scores: Float64Array | null = null;
  let optimum: Optimum | null = null;
  return {
    find({ step, logits, tokens: count }) {
      scores = null;
      optimum = null;
      const problem = sample.stratumOf(step);
      if (problem < 0 || affinities === null) return;
      kernels.affinities(logits, measure.scores, count, experts, affinities);
      scores = affinities;
      if (finder === null || !parts.some(({ first, end }) => first <= problem && problem < end)) return;
      if (problem % chain === 0) finder.restart();
      optimum = finder.find(affinities, count);
    },
    scores: () => scores,
    optimum: () => optimum,
    price: () => finder?.price ?? null,
  };
}
