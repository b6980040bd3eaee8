import { least, max, minIndex, range, sum } from "d3-array";
import type { ScoreKind } from "../assignment.ts";
import { mostKeptScores } from "../metrics/dual-function.ts";
import { findRouterKind } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import { findStreamKind } from "../streams/index.ts";
import { dualKinds, type OptimumPart, optimumParts, optimumRouter } from "./regret.ts";

/** What is done on one pass over a scenario's stream, by one thread. Plain data. */
export interface PassPlan {
  /** Routers, by their positions in the scenario. */
  readonly routers: readonly number[];
  readonly optima: readonly OptimumPart[];
  /** The kinds of affinities for which the best bias in hindsight is sought. */
  readonly hindsight: readonly ScoreKind[];
}

// In units of plain top-k's time for a batch, as measured with 256 experts; only the balance of threads depends on them.
const defaultCost = 3;
const streamCost = 3;
const factsCost = 6;
const measuringCost = 2;
const optimumCost = 200;
const hindsightCost = 90;

/** All that the routers at `positions` need, in one pass. */
function wholePass(scenario: Scenario, positions: readonly number[]): PassPlan {
  const routers = positions.map((position) => scenario.routers[position]);
  const isProved = optimumRouter(scenario, routers) !== undefined;
  return {
    routers: positions,
    optima: isProved ? [] : optimumParts(scenario),
    hindsight: dualKinds(scenario, routers),
  };
}

/** Whether each router has a stream of its own, since its batches depend on how those before were routed. */
export function hasOwnStreams({ stream }: Scenario): boolean {
  return findStreamKind(stream.kind)!.seesLoad;
}

/** The passes of one thread for the routers at `positions`: one, or one each where each has a stream of its own. */
export function wholePasses(scenario: Scenario, positions: readonly number[]): PassPlan[] {
  const groups = hasOwnStreams(scenario) ? positions.map((position) => [position]) : [positions];
  return groups.map((group) => wholePass(scenario, group));
}

/**
 * The passes that `workers` threads are to share, those that take longest first. One thread makes one pass. With more the
 * optima and the biases in hindsight have passes of their own, and the routers as many as end soonest: each makes the
 * batches anew. Where each router has a stream of its own, each has a pass of its own.
 */
export function planPasses(scenario: Scenario, workers: number): PassPlan[] {
  const positions = scenario.routers.map((_, position) => position);
  const ofOneThread = wholePasses(scenario, positions);
  if (workers === 1 || hasOwnStreams(scenario)) return longestFirst(scenario, ofOneThread);
  const [whole] = ofOneThread;
  const others = [
    ...whole.optima.map((part): PassPlan => ({ routers: [], optima: [part], hindsight: [] })),
    ...whole.hindsight.map((kind): PassPlan => ({ routers: [], optima: [], hindsight: [kind] })),
  ];
  const plans = range(1, Math.min(workers, positions.length) + 1).map((groups) =>
    longestFirst(scenario, [...dealRouters(scenario, groups), ...others]),
  );
  return least(plans, (a, b) => timeOf(scenario, a, workers) - timeOf(scenario, b, workers))!;
}

/** How long `workers` threads take for `passes`, when each begins the next as soon as it has ended one. */
function timeOf(scenario: Scenario, passes: readonly PassPlan[], workers: number): number {
  const busy = new Float64Array(workers);
  for (const pass of passes) busy[minIndex(busy)] += passWork(scenario, pass);
  return max(busy)!;
}

/** How long a whole scenario takes one thread, in the unit of {@link passWork}. */
export function scenarioWork(scenario: Scenario): number {
  return sum(planPasses(scenario, 1), (pass) => passWork(scenario, pass));
}

/** How long a pass takes, next to others, in logits that plain top-k could route in the same time. */
export function passWork(scenario: Scenario, { routers, optima, hindsight }: PassPlan): number {
  const { steps, tokens, experts } = scenario;
  const batch = tokens * experts;
  const measured =
    routers.length === 0 ? 0 : factsCost + sum(routers, (position) => routerCost(scenario.routers[position]));
  return (
    steps * batch * (streamCost + measured) +
    sum(optima, ({ first, end }) => end - first) * batch * optimumCost +
    hindsight.length * Math.min(steps * batch, mostKeptScores) * hindsightCost
  );
}

function routerCost({ kind }: RouterChoice): number {
  return measuringCost + (findRouterKind(kind)!.relativeCost ?? defaultCost);
}

function longestFirst(scenario: Scenario, passes: readonly PassPlan[]): PassPlan[] {
  return passes.toSorted((a, b) => passWork(scenario, b) - passWork(scenario, a));
}

/** Deals the routers to `groups` passes, each in turn to the one with the least to do, the slowest first. */
function dealRouters({ routers }: Scenario, groups: number): PassPlan[] {
  const dealt = Array.from({ length: groups }, () => ({ positions: [] as number[], cost: 0 }));
  const slowestFirst = [...routers.entries()].toSorted(([, a], [, b]) => routerCost(b) - routerCost(a));
  for (const [position, router] of slowestFirst) {
    const idlest = dealt.reduce((least, group) => (group.cost < least.cost ? group : least));
    idlest.positions.push(position);
    idlest.cost += routerCost(router);
  }
  return dealt.map(({ positions }) => ({ routers: positions.toSorted((a, b) => a - b), optima: [], hindsight: [] }));
}
