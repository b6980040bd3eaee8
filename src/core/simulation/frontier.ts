import type { RoutingShape } from "../assignment.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { largest } from "../metrics/load.ts";
import { createFeasibleScore } from "../metrics/regret.ts";
import { routerKindOf } from "../routers/index.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { assignableOf, batchCapacity, excludeDisabled, type TokenBatch } from "../token-batch.ts";
import { createAssignmentSolver, roundingError } from "../transport/assignment/exact-assignment.ts";
import { createPricedChoice } from "../transport/assignment/priced-choice.ts";
import { createCompensatedSum } from "../transport/optimise/compensated-sum.ts";
import { measuredSteps } from "./optima.ts";
import { createSimulation, withMemoryFor } from "./simulation.ts";

/** The best assignment of a batch within a capacity. Scores are the mean affinity over the pairs that can be assigned. */
export interface BoundedOptimum {
  /** C, the most tokens of an expert. */
  readonly capacity: number;
  /** Score of the best assignment found. */
  readonly score: number;
  /** No assignment within the capacity scores more; equal to `score` if that is proven to be the best. */
  readonly upperBound: number;
  /** Share of the pairs that the best assignment leaves out, because their tokens have no expert with room or gain nothing. */
  readonly unassigned: number;
}

/** Where a router stands beside the frontier, on one batch. */
export interface RouterPlace {
  /** Its largest load / target load: the capacity factor at which it drops nothing. */
  readonly capacityFactor: number;
  /** Its largest load / mean load − 1. */
  readonly maxVio: number;
  /** Mean affinity of its pairs, before drops; of a token with more than K experts, of its K best. */
  readonly score: number;
  /** No assignment with the same largest load scores more. */
  readonly upperBound: number;
}

/** The frontier of one batch. */
export interface FrontierStep {
  readonly step: number;
  /** Pairs that can be assigned: T·K, less those of disabled experts. */
  readonly pairs: number;
  /** Score of the best assignment without a capacity: that of plain top-k, unless affinities are negative. */
  readonly unbounded: number;
  /** Largest load / target load of plain top-k, ties between experts spread: from there on a capacity costs nothing. */
  readonly freeFactor: number;
  /** In the order of the capacity factors. */
  readonly optima: readonly BoundedOptimum[];
  /** In the order of the routers. */
  readonly routers: readonly RouterPlace[];
}

export interface FrontierOptions {
  readonly kernels: Kernels;
  /** Each above 0. */
  readonly factors: readonly number[];
  /** Measure one step of each stratum of that many, drawn by the seed. */
  readonly every: number;
  /** Stop the search for an optimum at this distance from its bound, per pair; 0 finds it exactly. */
  readonly gap: number;
  /** Positions in the scenario of the routers to place beside the frontier. */
  readonly routers: readonly number[];
}

/**
 * Yields the proven price of balance of each measured step of a scenario of one layer: the best score of any assignment
 * whose experts take at most ⌈f·L⌉ tokens, for each capacity factor f, and how far each router is from the best assignment
 * with its own largest load. Steps without a pair are left out. Steps depend on each other only through the routers' state.
 * Throws `InputError` if recorded data is bad or the sizes need too much memory.
 *
 * Source: the assignment problem of BASE (arXiv 2103.16716), here for a range of capacities.
 */
export async function* frontierSteps(
  scenario: Scenario,
  { kernels, factors, every, gap, routers }: FrontierOptions,
): AsyncGenerator<FrontierStep> {
  const { tokens: most, experts, topK, measure } = scenario;
  const sample = measuredSteps({ ...scenario, regret: { every, gap } });
  const { affinities, finder, simulation } = await withMemoryFor(scenario, async () => ({
    affinities: kernels.allocateFloat64(most * experts),
    finder: createBoundedOptima(kernels, scenario, gap),
    simulation: await createSimulation(
      { ...scenario, regret: { every: 0, gap } },
      { kernels, part: { routers, optima: [], hindsight: [] } },
    ),
  }));
  const feasibleScores = routers.map((position) =>
    createFeasibleScore(scenario, routerKindOf(scenario.routers[position]).maxSlots?.(scenario) ?? topK),
  );
  try {
    let left = sample.strata;
    while (left > 0) {
      const records = await simulation.step();
      if (records === null) return;
      const batch = simulation.batch!;
      if (sample.stratumOf(batch.step) < 0) continue;
      left -= 1;
      const assignable = assignableOf(batch, topK);
      const pairs = assignable?.pairs ?? batch.tokens * topK;
      if (pairs === 0) continue;
      kernels.affinities(batch.logits, measure.scores, batch.tokens, experts, affinities);
      excludeDisabled(batch, affinities);
      const targetLoad = pairs / (assignable?.experts ?? experts);
      const capacities = factors.map((capacityFactor) =>
        batchCapacity(batch, { ...scenario, capacityFactor }, assignable),
      );
      const largestLoads = simulation.runs.map(({ routed }) => largest(routed.assignment.load));
      const { unbounded, freeLoad, optima } = finder(batch, affinities, pairs, [...capacities, ...largestLoads]);
      yield {
        step: batch.step,
        pairs,
        unbounded,
        freeFactor: freeLoad / targetLoad,
        optima: capacities.map((capacity) => optima.get(capacity)!),
        routers: simulation.runs.map(({ routed }, index) => {
          const { upperBound } = optima.get(largestLoads[index])!;
          const total = feasibleScores[index](affinities, routed.assignment, batch.tokens, largestLoads[index]);
          return {
            capacityFactor: largestLoads[index] / targetLoad,
            maxVio: records[index].metrics.maxVio ?? Number.NaN,
            score: snapped(total / pairs, upperBound),
            upperBound,
          };
        }),
      };
    }
  } finally {
    await simulation.close();
  }
}

/** Returns `bound` if `score` differs from it by rounding alone: sums of the same numbers in different orders do. */
function snapped(score: number, bound: number): number {
  return Math.abs(bound - score) <= roundingError * Math.abs(bound) ? bound : score;
}

/** The best assignments of one batch, without a capacity and within several. */
interface BoundedOptima {
  readonly unbounded: number;
  /** Largest load of the best assignment without a capacity. */
  readonly freeLoad: number;
  /** By capacity. */
  readonly optima: ReadonlyMap<number, BoundedOptimum>;
}

/**
 * Returns a function that finds the best assignments of a batch with affinities S `[tokens × experts]`, −∞ for disabled
 * experts.
 */
function createBoundedOptima(kernels: Kernels, { tokens: most, experts, topK }: RoutingShape, gap: number) {
  const solver = createAssignmentSolver(kernels, most, experts, topK, { gap });
  const choice = createPricedChoice(experts, topK);
  const free = new Float64Array(experts);
  const load = new Int32Array(experts);

  /** Chooses for each token its K best experts; returns their Σ S and number, and sets `load`. */
  function choose(scores: Float64Array, tokens: number): { total: number; chosen: number } {
    load.fill(0);
    const total = createCompensatedSum();
    let chosen = 0;
    for (let token = 0; token < tokens; token++) {
      choice.choose(scores, token * experts, free, load);
      for (let slot = 0; slot < choice.count(); slot++) {
        const expert = choice.expert[slot];
        load[expert] += 1;
        total.add(scores[token * experts + expert]);
      }
      chosen += choice.count();
    }
    return { total: total.value(), chosen };
  }

  return (
    { tokens }: TokenBatch,
    scores: Float64Array,
    pairs: number,
    capacities: readonly number[],
  ): BoundedOptima => {
    const { total, chosen } = choose(scores, tokens);
    const unbounded = total / pairs;
    const freeLoad = largest(load);
    const optima = new Map<number, BoundedOptimum>();
    for (const capacity of new Set(capacities)) {
      if (capacity >= freeLoad) {
        optima.set(capacity, { capacity, score: unbounded, upperBound: unbounded, unassigned: 1 - chosen / pairs });
        continue;
      }
      // Prices of another capacity are no better a start than none, and this way no optimum depends on another.
      solver.price.fill(0);
      const solution = solver.solve({ scores, tokens, capacity });
      const assigned = solution.load.reduce((sum, count) => sum + count, 0);
      const upperBound = snapped(Math.min(solution.upperBound / pairs, unbounded), unbounded);
      optima.set(capacity, {
        capacity,
        score: snapped(solution.value / pairs, upperBound),
        upperBound,
        unassigned: 1 - assigned / pairs,
      });
    }
    return { unbounded, freeLoad, optima };
  };
}
