import type { ScoreKind } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { createOptimumFinder, createOptimumSeries, type Optimum, type OptimumSeries } from "../metrics/regret.ts";
import { createRandom } from "../random.ts";
import { routerKindOf } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { createStratifiedSample, type StratifiedSample } from "../stratified-sample.ts";
import { batchCapacity, excludeDisabled, type TokenBatch } from "../token-batch.ts";
import { mostHindsightExperts } from "../transport/hindsight/hindsight-bias.ts";

/** The optima of measured steps `first` … `end` − 1. */
export interface OptimumPart {
  readonly first: number;
  readonly end: number;
}

/** Optima found for a part, in the order of their steps. Plain data. */
export interface FoundOptima extends OptimumPart, OptimumSeries {}

/** Number of consecutive exact optima in which each search starts from the previous prices. */
const exactChain = 8;

/** Maximum number of parts that optima are divided into: finding a step's part costs time on every step. */
const mostParts = 64;

/**
 * The steps on which regret is measured: one per stratum of `regret.every`, drawn by the seed alone. All routers and
 * threads measure the same steps, and a longer run also measures those of a shorter one. Empty if `every` is 0.
 *
 * @param steps of the run; ∞ if unknown
 */
export function measuredSteps({ seed, regret, ...scenario }: Scenario, steps = scenario.steps): StratifiedSample {
  const random = createRandom(seed).derive("regret");
  return regret.every === 0
    ? createStratifiedSample(0, 1, random)
    : createStratifiedSample(steps, regret.every, random);
}

/**
 * Number of optima after which the search starts from scratch, so that any thread finds the same optima. Inexact optima
 * depend on where the search started, so their search starts only once.
 */
function chainLength({ regret }: Scenario): number {
  return regret.gap > 0 ? Number.POSITIVE_INFINITY : exactChain;
}

/** Divides the optima of a run into parts that depend neither on each other nor on the number of threads. */
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

/** Returns the first router whose own work proves the measured optimum as exactly as the scenario asks, if any does. */
export function optimumRouter(
  { regret, measure }: Scenario,
  routers: readonly RouterChoice[],
): RouterChoice | undefined {
  return routers.find((router) => {
    const gap = routerKindOf(router).optimumGap?.(router.options);
    return router.scores === measure.scores && gap !== undefined && gap <= regret.gap;
  });
}

/** Returns the kinds of affinities for which some of `routers` have dual regret. */
export function dualKinds(scenario: Scenario, routers: readonly RouterChoice[]): ScoreKind[] {
  return Array.from(new Set(routers.filter((router) => hasDualRegret(scenario, router)).map(({ scores }) => scores)));
}

/** Whether a router's dual regret will be known at the end. */
export function hasDualRegret({ regret, experts }: Scenario, router: RouterChoice): boolean {
  return regret.every > 0 && experts <= mostHindsightExperts && routerKindOf(router).hasBias === true;
}

/** Whether `part` has the optimum of the `measured`-th measured step; −1 for a step without regret. */
export function isIn({ first, end }: OptimumPart, measured: number): boolean {
  return first <= measured && measured < end;
}

/** Returns room for the optima of `parts`. */
export function roomForOptima(parts: readonly OptimumPart[]): FoundOptima[] {
  return parts.map(({ first, end }) => ({ first, end, ...createOptimumSeries(end - first) }));
}

/** Returns the optima of all measured steps as one part. */
export function wholeOf({ strata }: StratifiedSample): OptimumPart {
  return { first: 0, end: strata };
}

/** Writes the optimum of the `measured`-th measured step to its place in `found`. */
export function keepOptimum(found: readonly FoundOptima[], measured: number, { upperBound, gap }: Optimum): void {
  const part = found.find((part) => isIn(part, measured));
  if (part === undefined) return;
  part.upperBound[measured - part.first] = upperBound;
  part.gap[measured - part.first] = gap;
}

/** What regret on the current batch is measured against. */
export interface Optima {
  find(batch: TokenBatch): void;
  /** S `[tokens × experts]`, float64, by the measured affinities; null on steps without regret. */
  scores(): Float64Array | null;
  /** Null on steps without regret, and on steps of parts that are found elsewhere. */
  optimum(): Optimum | null;
  /** `[experts]`, where the next search starts: all that is kept of earlier batches; null if no optimum is sought. */
  price(): Float64Array | null;
}

/**
 * Computes the measured affinities on the steps of `sample`, and finds the optima of `parts`.
 *
 * @param price of another object with the same parts, to resume from
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
    find(batch) {
      const { step, logits, tokens: count } = batch;
      scores = null;
      optimum = null;
      const problem = sample.stratumOf(step);
      if (problem < 0 || affinities === null) return;
      kernels.affinities(logits, measure.scores, count, experts, affinities);
      excludeDisabled(batch, affinities);
      scores = affinities;
      if (finder === null || !parts.some((part) => isIn(part, problem))) return;
      if (problem % chain === 0) finder.restart();
      if (count === 0) {
        optimum = { upperBound: 0, gap: 0 };
        return;
      }
      optimum = finder.find(affinities, count, batchCapacity(batch, scenario));
    },
    scores: () => scores,
    optimum: () => optimum,
    price: () => finder?.price ?? null,
  };
}
