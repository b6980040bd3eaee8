import { least, max, minIndex, range, sum } from "d3-array";
import type { ScoreKind } from "../assignment.ts";
import type { TrainingFigures } from "../metrics/catalogue.ts";
import { mostKeptScores } from "../metrics/dual-function.ts";
import { routerKindOf } from "../routers/index.ts";
import type { RouterChoice, Scenario } from "../scenario/scenario.ts";
import type { StratifiedSample } from "../stratified-sample.ts";
import { streamKindOf } from "../streams/index.ts";
import { dualKinds, isIn, type OptimumPart, optimumParts, optimumRouter } from "./optima.ts";

/** The work of one simulation: a whole scenario, or one thread's share. Plain data. */
export interface SimulationPart {
  /** Positions of the routers in the scenario, rising. */
  readonly routers: readonly number[];
  /** The optima to find. */
  readonly optima: readonly OptimumPart[];
  /** Kinds of affinities for which to find the best bias in hindsight. */
  readonly hindsight: readonly ScoreKind[];
}

/** Only the stream's batches. */
export const batchesOnly: SimulationPart = { routers: [], optima: [], hindsight: [] };

// In units of plain top-k's time for a batch, measured with 256 experts; they only affect how evenly threads are
// loaded.
const defaultCost = 3;
const streamCost = 3;
const factsCost = 6;
const measuringCost = 2;
const optimumCost = 200;
const hindsightCost = 90;

/** Whether each router has its own stream, because its batches depend on how earlier ones were routed. */
export function hasOwnStreams({ stream }: Scenario): boolean {
  return streamKindOf(stream).feedback !== undefined;
}

/** Whether the scenario's stream trains on the routing of its batches. */
export function trains({ stream }: Scenario): boolean {
  return streamKindOf(stream).feedback === "training";
}

/** Returns the number of held-back tokens that the scenario's stream evaluates on; null if it does not evaluate. */
export function evaluatedTokens({ stream }: Scenario): number | null {
  return streamKindOf(stream).evaluatedTokens?.(stream.options) ?? null;
}

/** Returns which training metrics the scenario's runs have. */
export function trainingFigures(scenario: Scenario): TrainingFigures {
  if (evaluatedTokens(scenario) !== null) return "evaluated";
  return trains(scenario) ? "trained" : "none";
}

/** Returns the part that runs the routers at `positions`, with everything that they are measured against. */
export function partOf(scenario: Scenario, positions: readonly number[]): SimulationPart {
  const routers = positions.map((position) => scenario.routers[position]);
  const isProved = optimumRouter(scenario, routers) !== undefined;
  return {
    routers: positions,
    optima: isProved ? [] : optimumParts(scenario),
    hindsight: dualKinds(scenario, routers),
  };
}

/** Returns the parts of a run on one thread: one, or one per router if each router has its own stream. */
export function wholeParts(scenario: Scenario): SimulationPart[] {
  const positions = range(scenario.routers.length);
  const groups = hasOwnStreams(scenario) ? positions.map((position) => [position]) : [positions];
  return groups.map((group) => partOf(scenario, group));
}

/**
 * Returns the parts of each of the scenario's layers that `workers` threads share, slowest first; all layers have the
 * same parts. One thread has a single part per layer. With more, a layer is divided if that finishes first: the optima
 * and the biases in hindsight are separate parts, and the routers are dealt to several; each part generates the batches
 * again. Routers with their own streams are one part each.
 */
export function shareParts(scenario: Scenario, workers: number): SimulationPart[] {
  const ofOneThread = wholeParts(scenario);
  const layers = scenario.layers?.length ?? 1;
  if (workers === 1 || hasOwnStreams(scenario)) return longestFirst(scenario, ofOneThread);
  const [whole] = ofOneThread;
  const others = [
    ...whole.optima.map((part): SimulationPart => ({ routers: [], optima: [part], hindsight: [] })),
    ...whole.hindsight.map((kind): SimulationPart => ({ routers: [], optima: [], hindsight: [kind] })),
  ];
  const shares = range(1, Math.min(workers, whole.routers.length) + 1).map((groups) =>
    longestFirst(scenario, [...dealRouters(scenario, groups), ...others]),
  );
  const candidates = layers === 1 ? shares : [ofOneThread, ...shares];
  return least(candidates, (a, b) => timeOf(scenario, a, layers, workers) - timeOf(scenario, b, layers, workers))!;
}

/** The steps whose batches a part needs. */
export interface NeededSteps {
  /** The step after the last one. */
  readonly end: number;
  has(step: number): boolean;
}

/** @param sample the steps with regret */
export function neededSteps(
  { steps }: Scenario,
  { routers, optima, hindsight }: SimulationPart,
  sample: StratifiedSample,
): NeededSteps {
  if (routers.length > 0 || hindsight.length > 0 || optima.length === 0) return { end: steps, has: () => true };
  return {
    end: Math.max(...optima.map(({ end }) => sample.drawnFrom(end - 1) + 1)),
    has(step) {
      const measured = sample.stratumOf(step);
      return optima.some((part) => isIn(part, measured));
    },
  };
}

/**
 * Returns how long `workers` threads take for `parts` of each of `layers` if each thread starts the next part when it
 * finishes one, the slowest parts first.
 */
function timeOf(scenario: Scenario, parts: readonly SimulationPart[], layers: number, workers: number): number {
  const busy = new Float64Array(workers);
  for (const part of parts) {
    const work = partWork(scenario, part);
    for (let layer = 0; layer < layers; layer++) busy[minIndex(busy)] += work;
  }
  return max(busy)!;
}

/** Returns how long one thread takes for a whole scenario, in the unit of {@link partWork}. */
export function scenarioWork(scenario: Scenario): number {
  return (scenario.layers?.length ?? 1) * sum(wholeParts(scenario), (part) => partWork(scenario, part));
}

/** Returns the relative cost of a part, as the number of logits that plain top-k routes in the same time. */
export function partWork(scenario: Scenario, { routers, optima, hindsight }: SimulationPart): number {
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

function routerCost(router: RouterChoice): number {
  return measuringCost + (routerKindOf(router).relativeCost ?? defaultCost);
}

function longestFirst(scenario: Scenario, parts: readonly SimulationPart[]): SimulationPart[] {
  return parts.toSorted((a, b) => partWork(scenario, b) - partWork(scenario, a));
}

/** Deals the routers to `groups` parts. */
function dealRouters({ routers }: Scenario, groups: number): SimulationPart[] {
  return dealByCost(routers.map(routerCost), groups).map((group) => ({ routers: group, optima: [], hindsight: [] }));
}

/**
 * Deals the positions of `costs`, 0 or more each, to `groups` groups: the costliest first, each to the group that costs least
 * so far (longest processing time first; Graham 1969). Ties go to the lower position and the lower group, so that the same
 * costs are always dealt the same way. Returns the rising positions of each group; a group is empty if there are fewer
 * positions than groups.
 */
export function dealByCost(costs: readonly number[], groups: number): number[][] {
  const dealt = Array.from({ length: groups }, () => ({ positions: [] as number[], cost: 0 }));
  const costliestFirst = [...costs.entries()].toSorted(([, a], [, b]) => b - a);
  for (const [position, cost] of costliestFirst) {
    // Among equal costs the shorter group, since an estimate may be 0.
    const idlest = dealt.reduce((least, group) =>
      group.cost < least.cost || (group.cost === least.cost && group.positions.length < least.positions.length)
        ? group
        : least,
    );
    idlest.positions.push(position);
    idlest.cost += cost;
  }
  return dealt.map(({ positions }) => positions.toSorted((a, b) => a - b));
}
