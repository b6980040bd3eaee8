import { nodeExperts, placeByEplb } from "./eplb.ts";
import { searchExactly } from "./exact-search.ts";
import { createPlacementSearch } from "./local-search.ts";
import { lowerBound, provenError } from "./lower-bound.ts";
import {
  expertsOfGroups,
  isHierarchical,
  loadOfGroups,
  type PlacementShape,
  placedLoad,
  replicaCounts,
} from "./placement.ts";

/** A placement, and how much better another one could be. */
export interface BalancedPlacement {
  /** `[slots]`, the expert in each slot, GPU by GPU. */
  readonly expertOfSlot: Int32Array;
  /** Load of its heaviest GPU, in pairs. */
  readonly largest: number;
  /** No placement of the same shape has a largest load below this; equal to `largest` if that is proven to be the least. */
  readonly lowerBound: number;
}

/** Search steps per layer, about 20 ms. */
const searchWork = 1_000_000;
/** Small problems are also searched exactly, within as many choices. */
const mostExactSlots = 24;
const exactNodes = 100_000;
/** More ways to spread groups over nodes than this are not listed, and no more than this many of them are searched. */
const mostSpreads = 5000;
const mostSearchedSpreads = 8;

/** The experts of one node: a problem of its own. */
interface NodeProblem {
  readonly experts: Int32Array;
  readonly load: Float64Array;
  /** Proven, and equal to `largest` once that is proven to be the least. */
  bound: number;
  /** Positions in `experts`; null until it is searched. */
  placed: Int32Array | null;
  largest: number;
}

/**
 * Returns a function that places experts for a load `[experts]`, finite and ≥ 0. The heaviest GPU never has more than with
 * {@link placeByEplb}, from which the search starts, under the same rules: equal slots per GPU, and groups that stay on a
 * node if `nodes` divides `groups`.
 *
 *     spread   the ways to spread the groups over the nodes, by the largest lower bound of their nodes
 *     search   each node: descent and annealing, and all placements if there are at most 24 slots
 *     stop     if the best so far is at most the next way's bound, or within `gap` of the least bound left
 *
 * The bound is the least over all ways, each the largest of its nodes' (see `lowerBound`, or the exact optimum). If there
 * are too many ways to list, only the balancer's and one improved by swaps are searched, and the bound is that of the
 * problem without groups or of packing whole groups onto nodes. The same load always gives the same placement.
 *
 * @param gap relative, ≥ 0; 0 searches until the optimum is proven or the steps are used up
 */
export function createBalancedPlacer(
  shape: PlacementShape,
  gap: number,
): (load: ArrayLike<number>) => BalancedPlacement {
  const { gpus, slots } = shape;
  const [groups, nodes] = isHierarchical(shape) && shape.nodes > 1 ? [shape.groups, shape.nodes] : [1, 1];
  const [nodeGpus, nodeSlots] = [gpus / nodes, slots / nodes];
  const groupSize = shape.experts / groups;
  const search = createPlacementSearch(shape.experts / nodes, nodeGpus, nodeSlots);
  const groupSearch = createPlacementSearch(groups, nodes, groups);
  const listed = spreadsOf(groups, nodes);

  function largestOf(load: ArrayLike<number>, placed: Int32Array): number {
    return Math.max(...placedLoad(load, placed, replicaCounts(placed, load.length), new Float64Array(gpus)));
  }

  function problemOf(load: ArrayLike<number>, members: readonly number[]): NodeProblem {
    const experts = expertsOfGroups(members, groupSize);
    const nodeLoad = Float64Array.from(experts, (e) => load[e]);
    const bound = lowerBound(nodeLoad, nodeGpus, nodeSlots);
    return { experts, load: nodeLoad, bound, placed: null, largest: Number.POSITIVE_INFINITY };
  }

  function solve(problem: NodeProblem): void {
    const { load } = problem;
    const experts = load.length;
    const placed = placeByEplb(load, { experts, gpus: nodeGpus, slots: nodeSlots, nodes: 1, groups: 1 });
    const limits = { bound: problem.bound, gap, work: searchWork / nodes };
    let largest = search.improve(load, placed, limits);
    if (largest > problem.bound * (1 + Math.max(gap, provenError)) && nodeSlots <= mostExactSlots) {
      const exact = searchExactly(load, nodeGpus, placed, largest, problem.bound, exactNodes);
      largest = exact.largest;
      if (exact.isProven) problem.bound = largest;
    }
    problem.placed = placed;
    problem.largest = largest;
  }

  /** The balancer's own way to spread the groups, and that way improved by swaps. */
  function fewSpreads(load: ArrayLike<number>, groupLoad: Float64Array, bound: number): number[][][] {
    const own = nodeExperts(load, shape).flatMap((experts) =>
      Array.from({ length: groups / nodes }, (_, i) => experts[i * groupSize] / groupSize),
    );
    const improved = Int32Array.from(own);
    groupSearch.improve(groupLoad, improved, { bound: bound * nodeGpus, gap, work: searchWork / nodes });
    return [own, Array.from(improved)].map((order) =>
      Array.from({ length: nodes }, (_, node) => order.slice((node * groups) / nodes, ((node + 1) * groups) / nodes)),
    );
  }

  function assemble(problems: readonly NodeProblem[]): Int32Array {
    return Int32Array.from(problems.flatMap(({ placed, experts }) => Array.from(placed!, (i) => experts[i])));
  }

  return (load) => {
    let expertOfSlot = placeByEplb(load, shape);
    let largest = largestOf(load, expertOfSlot);
    const groupLoad = loadOfGroups(load, groups);
    const looseBound =
      listed === null ? Math.max(lowerBound(load, gpus, slots), lowerBound(groupLoad, nodes, groups) / nodeGpus) : 0;
    const problems = new Map<string, NodeProblem>();
    const find = (members: readonly number[]) => {
      const key = members.join();
      const known = problems.get(key) ?? problemOf(load, members);
      problems.set(key, known);
      return known;
    };
    const ways = (listed ?? fewSpreads(load, groupLoad, looseBound))
      .map((spread) => spread.map(find))
      .map((parts) => ({ parts, bound: Math.max(...parts.map(({ bound }) => bound)) }))
      .sort((a, b) => a.bound - b.bound);
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < ways.length; i++) {
      const { parts, bound } = ways[i];
      if (i === mostSearchedSpreads || largest <= Math.min(least, bound) * (1 + Math.max(gap, provenError))) {
        least = Math.min(least, bound);
        break;
      }
      for (const part of parts) {
        if (part.placed === null) solve(part);
        if (part.bound >= largest) break;
      }
      const found = Math.max(...parts.map((part) => part.largest));
      if (found < largest) [expertOfSlot, largest] = [assemble(parts), found];
      least = Math.min(least, Math.max(...parts.map((part) => part.bound)));
    }
    if (listed === null) least = looseBound;
    // Rounding alone must not leave a gap.
    const isProven = largest <= least * (1 + provenError);
    return { expertOfSlot, largest, lowerBound: isProven ? largest : least };
  };
}

/**
 * Returns all ways to spread `groups` evenly over `nodes` that are alike, each as the groups of each node; null if there are
 * more than {@link mostSpreads}.
 */
function spreadsOf(groups: number, nodes: number): number[][][] | null {
  const size = groups / nodes;
  let ways = 1;
  for (let left = groups; left > 0; left -= size) {
    // The first group left is on some node; choose the others of that node.
    for (let i = 1; i < size; i++) ways *= (left - i) / i;
    if (ways > mostSpreads) return null;
  }
  const found: number[][][] = [];
  const isUsed = new Array<boolean>(groups).fill(false);

  function fill(spread: number[][]): void {
    const first = isUsed.indexOf(false);
    if (first < 0) {
      found.push(spread.map((members) => members.slice()));
      return;
    }
    choose([first], first + 1, (members) => fill([...spread, members]));
  }

  function choose(members: number[], from: number, then: (members: number[]) => void): void {
    const last = members[members.length - 1];
    isUsed[last] = true;
    if (members.length === size) then(members);
    else {
      for (let group = from; group < groups; group++) {
        if (!isUsed[group]) choose([...members, group], group + 1, then);
      }
    }
    isUsed[last] = false;
  }

  fill([]);
  return found;
}
