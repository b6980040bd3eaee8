import { max, mean } from "d3-array";
import type { FrontierStep } from "../simulation/frontier.ts";
import { type Interval, weightedInterval } from "./interval.ts";
import { type Column, cellsOf, cellText, headerOf, type ResultTable } from "./result-columns.ts";

/** The measured steps of one layer. */
export interface FrontierLayer {
  /** The model's id; null if there are no layers. */
  readonly layer: number | null;
  readonly steps: readonly FrontierStep[];
}

/** A score, and what of the best score it falls short of. Means over steps. */
interface Priced {
  readonly score: Interval;
  /** Best score without a capacity − `score`; the interval is of the differences on each step. */
  readonly price: Interval;
  /** Price / best score without a capacity; 0 if that is 0. */
  readonly priceFraction: number;
}

/** The best assignments within one capacity. */
export interface FrontierPoint extends Priced {
  readonly capacityFactor: number;
  /** C, mean over the steps. */
  readonly capacity: number;
  /** Largest difference of a step's upper bound from its score; 0 if all are proven to be the best. */
  readonly gap: number;
  /** Mean share of the pairs that the best assignments leave out. */
  readonly unassigned: number;
}

/** A router beside the frontier. */
export interface FrontierRouter extends Priced {
  readonly name: string;
  /** Its largest load / target load. */
  readonly capacityFactor: Interval;
  /** MaxVio of a batch. */
  readonly maxVio: Interval;
  /** No assignments with the same largest load on each step score more. */
  readonly upperBound: number;
  /** `upperBound` − score: its regret if the capacity were its own largest load. */
  readonly ownRegret: Interval;
}

/** The frontier of one layer, or the mean over layers. */
export interface Frontier {
  /** Null for a mean over layers, and if there are none. */
  readonly layer: number | null;
  /** Measured steps with a pair. */
  readonly steps: number;
  /** In the order of their capacity factors. */
  readonly points: readonly FrontierPoint[];
  /** Best score without a capacity. */
  readonly unbounded: Interval;
  /** Capacity factor from which on balance costs nothing. */
  readonly freeFactor: Interval;
  readonly routers: readonly FrontierRouter[];
}

/** What was found in all layers. */
export interface FrontierResult {
  /** The means over the layers, or the only one. */
  readonly mean: Frontier;
  /** Those with a pair, as given; empty if there is only one. */
  readonly layers: readonly Frontier[];
  /** By capacity factor, the layer with the highest price; empty if there is only one. */
  readonly worst: readonly Frontier[];
}

/**
 * Returns the frontier of each layer, their mean and the worst, or null if no step of any layer has a pair. The mean is over
 * the layers on each step, then over the steps, where steps count by their pairs; intervals are over the steps.
 *
 * @param factors of the steps' optima
 * @param routers names, of the steps' routers
 */
export function summarizeFrontier(
  all: readonly FrontierLayer[],
  factors: readonly number[],
  routers: readonly string[],
): FrontierResult | null {
  const present = all.filter(({ steps }) => steps.length > 0);
  if (present.length === 0) return null;
  const layers = present.map((layer) => frontierOf(layer, factors, routers));
  if (layers.length === 1) return { mean: layers[0], layers: [], worst: [] };
  const whole = frontierOf({ layer: null, steps: meanSteps(present) }, factors, routers);
  const points = whole.points.map((point, i) => ({ ...point, gap: max(layers, ({ points }) => points[i].gap)! }));
  return {
    mean: { ...whole, points },
    layers,
    worst: factors.map((_, i) =>
      layers.reduce((worst, layer) => (layer.points[i].price.mean > worst.points[i].price.mean ? layer : worst)),
    ),
  };
}

/** Returns `result` with only the points of the capacity `factors`, which must be among its own. */
export function withFactors({ mean, layers, worst }: FrontierResult, factors: readonly number[]): FrontierResult {
  const kept = (frontier: Frontier) => ({
    ...frontier,
    points: frontier.points.filter(({ capacityFactor }) => factors.includes(capacityFactor)),
  });
  const isKept = mean.points.map(({ capacityFactor }) => factors.includes(capacityFactor));
  return { mean: kept(mean), layers: layers.map(kept), worst: worst.filter((_, i) => isKept[i]).map(kept) };
}

/** Returns for each step that any layer has the means over the layers that have it. */
function meanSteps(layers: readonly FrontierLayer[]): FrontierStep[] {
  const byStep = new Map<number, FrontierStep[]>();
  for (const { steps } of layers) {
    for (const each of steps) byStep.set(each.step, [...(byStep.get(each.step) ?? []), each]);
  }
  const meanOf = <Each>(items: readonly Each[], value: (each: Each) => number) => mean(items, value)!;
  return Array.from(byStep, ([step, same]) => ({
    step,
    pairs: meanOf(same, ({ pairs }) => pairs),
    unbounded: meanOf(same, ({ unbounded }) => unbounded),
    freeFactor: meanOf(same, ({ freeFactor }) => freeFactor),
    optima: same[0].optima.map((_, i) => ({
      capacity: meanOf(same, ({ optima }) => optima[i].capacity),
      score: meanOf(same, ({ optima }) => optima[i].score),
      upperBound: meanOf(same, ({ optima }) => optima[i].upperBound),
      unassigned: meanOf(same, ({ optima }) => optima[i].unassigned),
    })),
    routers: same[0].routers.map((_, i) => ({
      capacityFactor: meanOf(same, ({ routers }) => routers[i].capacityFactor),
      maxVio: meanOf(same, ({ routers }) => routers[i].maxVio),
      score: meanOf(same, ({ routers }) => routers[i].score),
      upperBound: meanOf(same, ({ routers }) => routers[i].upperBound),
    })),
  })).sort((a, b) => a.step - b.step);
}

function frontierOf({ layer, steps }: FrontierLayer, factors: readonly number[], routers: readonly string[]): Frontier {
  const pairs = steps.map((step) => step.pairs);
  const equal = steps.map(() => 1);
  const byPairs = (value: (step: FrontierStep) => number) => weightedInterval(steps.map(value), pairs)!;
  const bySteps = (value: (step: FrontierStep) => number) => weightedInterval(steps.map(value), equal)!;
  const unbounded = byPairs((step) => step.unbounded);
  const priced = (score: (step: FrontierStep) => number): Priced => {
    const price = byPairs((step) => step.unbounded - score(step));
    return { score: byPairs(score), price, priceFraction: unbounded.mean === 0 ? 0 : price.mean / unbounded.mean };
  };
  return {
    layer,
    steps: steps.length,
    points: factors.map((capacityFactor, i) => ({
      capacityFactor,
      capacity: bySteps(({ optima }) => optima[i].capacity).mean,
      ...priced(({ optima }) => optima[i].score),
      gap: max(steps, ({ optima }) => optima[i].upperBound - optima[i].score)!,
      unassigned: byPairs(({ optima }) => optima[i].unassigned).mean,
    })),
    unbounded,
    freeFactor: bySteps(({ freeFactor }) => freeFactor),
    routers: routers.map((name, i) => ({
      name,
      capacityFactor: bySteps(({ routers }) => routers[i].capacityFactor),
      maxVio: bySteps(({ routers }) => routers[i].maxVio),
      ...priced(({ routers }) => routers[i].score),
      upperBound: byPairs(({ routers }) => routers[i].upperBound).mean,
      ownRegret: byPairs(({ routers }) => routers[i].upperBound - routers[i].score),
    })),
  };
}

/** A row of frontier.csv: a point of the frontier, its end without a capacity, or a router. */
interface FrontierRow {
  readonly frontier: Frontier;
  readonly curve: "optimum" | "unbounded" | "router";
  readonly router: string | null;
  readonly capacityFactor: Interval;
  readonly maxVio: Interval | null;
  readonly score: Interval;
  readonly price: Interval;
  readonly priceFraction: number;
  readonly capacity: number | null;
  readonly upperBoundGap: number | null;
  readonly unassigned: number | null;
  readonly ownRegret: Interval | null;
}

const exactly = (value: number): Interval => ({ mean: value, halfWidth: null, count: 1 });

function rowsOf(frontier: Frontier): FrontierRow[] {
  const { points, unbounded, freeFactor, routers } = frontier;
  const none = { router: null, maxVio: null, capacity: null, upperBoundGap: null, unassigned: null, ownRegret: null };
  return [
    ...points.map(
      (point): FrontierRow => ({
        ...none,
        ...point,
        frontier,
        curve: "optimum",
        capacityFactor: exactly(point.capacityFactor),
        upperBoundGap: point.gap,
      }),
    ),
    {
      ...none,
      frontier,
      curve: "unbounded",
      capacityFactor: freeFactor,
      score: unbounded,
      price: exactly(0),
      priceFraction: 0,
    },
    ...routers.map((router): FrontierRow => ({ ...none, ...router, frontier, curve: "router", router: router.name })),
  ];
}

const columns: readonly Column<FrontierRow>[] = [
  { name: "curve", value: ({ curve }) => curve },
  { name: "router", value: ({ router }) => router },
  { name: "capacity_factor", value: ({ capacityFactor }) => capacityFactor.mean },
  { name: "capacity_factor_ci95", value: ({ capacityFactor }) => capacityFactor.halfWidth },
  { name: "capacity_tokens", value: ({ capacity }) => capacity },
  { name: "max_vio", value: ({ maxVio }) => maxVio?.mean ?? null },
  { name: "max_vio_ci95", value: ({ maxVio }) => maxVio?.halfWidth ?? null },
  { name: "score", value: ({ score }) => score.mean },
  { name: "score_ci95", value: ({ score }) => score.halfWidth },
  { name: "price", value: ({ price }) => price.mean },
  { name: "price_ci95", value: ({ price }) => price.halfWidth },
  { name: "price_fraction", value: ({ priceFraction }) => priceFraction },
  { name: "gap_max", value: ({ upperBoundGap }) => upperBoundGap },
  { name: "unassigned_fraction", value: ({ unassigned }) => unassigned },
  { name: "regret_at_own_load", value: ({ ownRegret }) => ownRegret?.mean ?? null },
  { name: "regret_at_own_load_ci95", value: ({ ownRegret }) => ownRegret?.halfWidth ?? null },
  { name: "steps", value: ({ frontier }) => frontier.steps },
  { name: "layer", value: ({ frontier }) => frontier.layer },
];

/** Returns frontier.csv: the mean over layers, whose `layer` is empty, then each layer; or the only one. */
export function frontierTable({ mean, layers }: FrontierResult): ResultTable {
  const rows = [mean, ...layers].flatMap(rowsOf);
  return {
    file: "frontier.csv",
    columns: headerOf(columns),
    rows: rows.map((row) => cellsOf(columns, row).map(cellText)),
  };
}
