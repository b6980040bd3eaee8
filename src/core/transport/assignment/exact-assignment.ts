import { max, sum } from "d3-array";
import type { Kernels } from "../../kernels/kernels.ts";
import { createCompensatedSum } from "../optimise/compensated-sum.ts";
import { createExchangeGraph } from "./exchange-graph.ts";
import { createExchangePaths, noNode } from "./exchange-paths.ts";
import { createPriceSearch } from "./price-search.ts";
import { createPricedChoice } from "./priced-choice.ts";

/** max Σ S·x over x ∈ {0, 1} `[tokens × experts]` with at most K experts for each token and at most C tokens on each expert. */
export interface AssignmentProblem {
  /** S `[tokens × experts]`, row-major, finite, from the solver's kernels. */
  readonly scores: Float64Array;
  /** At most the number of tokens that the solver was created for. */
  readonly tokens: number;
  /** C, a non-negative integer. */
  readonly capacity: number;
}

/** An assignment and the proof of how good it is. Its arrays belong to the solver; the next call overwrites them. */
export interface AssignmentSolution {
  /** `[tokens × topK]`, distinct within a token; −1 for an empty slot. */
  readonly expert: Int32Array;
  /** `[experts]`, each at most C. */
  readonly load: Int32Array;
  /** Σ S of the assigned pairs. */
  readonly value: number;
  /**
   * The certificate: `[experts]`, ≥ 0. By weak duality no assignment scores more than
   * D(p) = Σ_t Σ over the K largest of max(0, S_te − p_e) + C·Σ p, for any prices p ≥ 0.
   */
  readonly price: Float64Array;
  /** D(price); equal to `value` if exact. */
  readonly upperBound: number;
  /** Whether D(price) equals `value` up to the rounding of the sums. */
  readonly exact: boolean;
  /** Number of times that pairs were moved along a shortest path. */
  readonly augmentations: number;
}

/** Largest number of experts of a problem: the graph has an arc for every ordered pair. */
export const mostAssignmentExperts = 4096;

export interface AssignmentOptions {
  /** Stop as soon as upperBound − value is proven to be at most this for each of tokens · topK pairs; 0 for the optimum. */
  readonly gap: number;
}

/** Solves problems of one size with buffers allocated once. */
export interface AssignmentSolver {
  /** `[experts]`, ≥ 0: the prices of the last problem, from which the next search starts; initially 0. */
  readonly price: Float64Array;
  solve(problem: AssignmentProblem): AssignmentSolution;
}

/** Rounding error of a float64 sum after some thousand additions, relative to the numbers summed. */
export const roundingError = 1e-13;

/** Number of tokens whose part of the bound is summed without compensation. */
const boundTokens = 64;

/**
 * The exact optimum, by prices and successive shortest paths on the graph of experts:
 *
 *     p   = near-optimal prices, searched from those of the last problem        (see `price-search.ts`)
 *     x_t = the K experts with the largest S_te − p_e ≥ 0, for each token: optimal at p, except for the loads
 *     while an expert has more than C tokens:
 *       find the shortest path from such an expert to a free seat, where an arc from e to f costs the least
 *         (S_te − p_e) − (S_tf − p_f) ≥ 0 of the tokens t on e that are not on f     (see `exchange-graph.ts`)
 *       p  += what keeps the cost of every arc ≥ 0 and makes the arcs of the path cost 0;  move a token along each arc of it
 *     while a free seat has a price: the same from the ground, where slots are empty, to that seat; p falls
 *
 * x stays optimal at p throughout, so it is optimal once all loads fit: the primal-dual method for transportation (Ford
 * and Fulkerson 1957; Edmonds and Karp 1972 for the potentials), condensed to the experts and one more node, because a
 * token's only constraint is its own K. A path costs O(E²) plus a few confirmations of O(load + E) each. Overloads take at
 * most Σ max(0, load − C) ≤ T·K paths, about E with good prices; priced seats and empty slots take one each. An auction
 * (Bertsekas) is exact only for scores scaled to integers, and network simplex walks T·E arcs; this method takes any
 * scores and walks E² arcs.
 *
 * @param tokens the most tokens of a problem
 */
export function createAssignmentSolver(
  kernels: Kernels,
  tokens: number,
  experts: number,
  topK: number,
  { gap }: AssignmentOptions,
): AssignmentSolver {
  const graph = createExchangeGraph(kernels, tokens, experts, topK);
  const { ground } = graph;
  const priceSearch = createPriceSearch(kernels, tokens, experts, topK);
  const choice = createPricedChoice(experts, topK);
  // The ground's price is always 0.
  const nodePrice = kernels.allocateFloat64(experts + 1);
  const price = nodePrice.subarray(0, experts);
  const paths = createExchangePaths(graph, nodePrice);
  const { distance } = paths;
  const expert = new Int32Array(tokens * topK);
  const load = graph.load.subarray(0, experts);
  const threshold = kernels.allocateFloat64(tokens);
  const mass = kernels.allocateFloat64(experts);
  let augmentations = 0;

  /** Gives every token its best experts at the prices; returns D(price). */
  function select({ scores, tokens: count, capacity }: AssignmentProblem): number {
    graph.reset(scores, count);
    let bound = capacity * sum(price);
    for (let token = 0; token < count; token++) {
      bound += choice.choose(scores, token * experts, price, load);
      for (let slot = 0; slot < choice.count(); slot++) graph.move(token * topK + slot, choice.expert[slot]);
    }
    return bound;
  }

  /** Moves every pair over capacity to the cheapest free seat or the ground. */
  function fitLoads(capacity: number): void {
    for (let e = 0; e < experts; e++) {
      while (load[e] > capacity) {
        const losses = graph.losses(e);
        let to: number;
        do {
          to = ground;
          for (let f = 0; f < experts; f++) {
            if (load[f] < capacity && losses[f] + price[f] < losses[to] + nodePrice[to]) to = f;
          }
        } while (!graph.confirm(e, to));
        graph.move(graph.mover(e, to), to);
      }
    }
  }

  /** Paths from overloaded experts to free seats or the ground; prices rise on nodes nearer than the target. */
  function drainOverloads(capacity: number): void {
    const isSource = (node: number) => node !== ground && load[node] > capacity;
    const isTarget = (node: number) => node === ground || load[node] < capacity;
    while (load.some((pairs) => pairs > capacity)) {
      const target = paths.find(isSource, isTarget, "pairs");
      for (let e = 0; e < experts; e++) price[e] += Math.max(0, distance[target] - distance[e]);
      augmentations += paths.augment(target, (source) => isSource(source) && isTarget(target));
    }
  }

  /** Paths from the ground to free seats with a price, which must be filled or lose their price. */
  function fillPricedSeats(capacity: number): void {
    const isTarget = (node: number) => node !== ground && load[node] < capacity && price[node] > 0;
    while (price.some((_, e) => isTarget(e))) {
      const target = paths.find((node) => node === ground, isTarget, "pairs and empty seats");
      for (let e = 0; e < experts; e++) price[e] = Math.max(0, price[e] - Math.min(distance[target], distance[e]));
      augmentations += paths.augment(target, () => isTarget(target));
    }
  }

  /** Paths from empty slots to free seats that lose nothing: among the optima, one with the most pairs. */
  function fillSlots(capacity: number): void {
    const isTarget = (node: number) => node !== ground && load[node] < capacity;
    const most = roundingError * Math.max(...price);
    while (graph.load[ground] > 0 && load.some((_, e) => isTarget(e))) {
      const target = paths.find((node) => node === ground, isTarget, "pairs");
      if (target === noNode || distance[target] > most) return;
      augmentations += paths.augment(target, () => graph.load[ground] > 0 && isTarget(target));
    }
  }

  /** Gives every empty slot the best expert with room that its token does not have yet, if that loses nothing. */
  function fillDirectly({ scores, tokens: count, capacity }: AssignmentProblem): void {
    for (let pair = 0; pair < count * topK && graph.load[ground] > 0; pair++) {
      if (graph.expert[pair] !== ground) continue;
      const token = Math.floor(pair / topK);
      const taken = graph.expert.subarray(token * topK, (token + 1) * topK);
      let best = noNode;
      for (let e = 0; e < experts; e++) {
        const score = scores[token * experts + e];
        if (load[e] >= capacity || score < 0 || taken.includes(e)) continue;
        if (best === noNode || score > scores[token * experts + best]) best = e;
      }
      if (best !== noNode) graph.move(pair, best);
    }
  }

  /** D(price), computed independently of the search, by a sum whose rounding errors do not accumulate. */
  function boundAt(scores: Float64Array, count: number, capacity: number): number {
    const total = createCompensatedSum();
    for (let e = 0; e < experts; e++) total.add(capacity * price[e]);
    threshold.fill(Number.NaN);
    for (let from = 0; from < count; from += boundTokens) {
      const rows = scores.subarray(from * experts);
      const some = Math.min(boundTokens, count - from);
      total.add(kernels.relaxedTopK(rows, price, 0, 0, some, experts, topK, threshold, mass, null));
    }
    return total.value();
  }

  function solution({ scores, tokens: count, capacity }: AssignmentProblem): AssignmentSolution {
    const pairs = count * topK;
    for (let pair = 0; pair < pairs; pair++) expert[pair] = graph.expert[pair] === ground ? -1 : graph.expert[pair];
    const bound = boundAt(scores, count, capacity);
    const value = graph.value();
    // Rounding of the numbers that were subtracted from each other.
    const magnitude = Math.abs(bound) + capacity * sum(price) + pairs * max(price)!;
    const exact = bound - value <= roundingError * magnitude;
    return { expert, load, value, price, upperBound: exact ? value : Math.max(bound, value), exact, augmentations };
  }

  return {
    price,
    solve(problem) {
      const { scores, tokens: count, capacity } = problem;
      augmentations = 0;
      const isWarm = price.some((value) => value > 0);
      let isNear = false;
      const isEnough = () => {
        const bound = select(problem);
        fitLoads(capacity);
        fillDirectly(problem);
        isNear = bound - graph.value() <= gap * count * topK;
        return isNear;
      };
      priceSearch.improve(scores, count, capacity, price, isWarm, gap > 0 ? isEnough : undefined);
      if (gap > 0 && (isNear || isEnough())) return solution(problem);
      select(problem);
      drainOverloads(capacity);
      fillPricedSeats(capacity);
      fillSlots(capacity);
      return solution(problem);
    },
  };
}
