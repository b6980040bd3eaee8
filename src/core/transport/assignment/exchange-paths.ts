import type { ExchangeGraph } from "./exchange-graph.ts";

/** Stands for no node. */
export const noNode = -1;

/** What moves along an arc: a pair or, from the ground, also an empty seat, for a pair that leaves its expert. */
export type Cargo = "pairs" | "pairs and empty seats";

/**
 * Shortest paths in an exchange graph. The length of the arc from e to f is its loss at the nodes' prices, loss − p_e + p_f,
 * which is never negative if every token has its best experts at these prices.
 */
export interface ExchangePaths {
  /** `[experts + 1]`, the distance of each node from the nearest source; at least the target's distance if not yet known. */
  readonly distance: Float64Array;
  /** Searches from all sources at once; returns the nearest target, {@link noNode} if none can be reached. */
  find(isSource: (node: number) => boolean, isTarget: (node: number) => boolean, cargo: Cargo): number;
  /**
   * Moves one pair or seat along each arc of the path to `target`, and repeats with the next best pairs while `isWanted` and
   * no arc gets longer: equal tokens follow each other. Returns the number of repetitions.
   */
  augment(target: number, isWanted: (source: number) => boolean): number;
}

/**
 * Dijkstra's algorithm for arcs whose length is at first only a lower bound: an arc is confirmed when its end is the next
 * nearest node.
 *
 * @param price `[experts + 1]`, of each node, read at every search
 */
export function createExchangePaths(graph: ExchangeGraph, price: Float64Array): ExchangePaths {
  const { ground } = graph;
  const nodes = price.length;
  const distance = new Float64Array(nodes);
  const parent = new Int32Array(nodes);
  const isDone = new Uint8Array(nodes);
  const path = new Int32Array(nodes);
  const arcLoss = new Float64Array(nodes);
  const movers = new Int32Array(nodes);
  let withSeats = false;

  function lossOf(from: number, to: number): number {
    const loss = graph.losses(from)[to];
    return withSeats && from === ground ? Math.min(loss, 0) : loss;
  }

  /** Relaxes the arcs from a finished node to the open ones; returns the nearest open node. */
  function reachFrom(from: number): number {
    const losses = graph.losses(from);
    const isSeat = withSeats && from === ground;
    const [near, own] = [distance[from], price[from]];
    let nearest = noNode;
    let least = Number.POSITIVE_INFINITY;
    for (let node = 0; node < nodes; node++) {
      if (isDone[node] === 1) continue;
      const loss = isSeat ? Math.min(losses[node], 0) : losses[node];
      const reached = near + Math.max(0, loss - own + price[node]);
      if (reached < distance[node]) {
        distance[node] = reached;
        parent[node] = from;
      }
      if (distance[node] < least) {
        least = distance[node];
        nearest = node;
      }
    }
    return nearest;
  }

  /** The nearest open node, {@link noNode} if none can be reached. */
  function nearestOpen(): number {
    let nearest = noNode;
    let least = Number.POSITIVE_INFINITY;
    for (let node = 0; node < nodes; node++) {
      if (isDone[node] === 1 || distance[node] >= least) continue;
      least = distance[node];
      nearest = node;
    }
    return nearest;
  }

  /** Finds the shortest way to a node from those that are done again. */
  function reachAgain(node: number): void {
    distance[node] = Number.POSITIVE_INFINITY;
    for (let from = 0; from < nodes; from++) {
      if (isDone[from] === 0) continue;
      const reached = distance[from] + Math.max(0, lossOf(from, node) - price[from] + price[node]);
      if (reached >= distance[node]) continue;
      distance[node] = reached;
      parent[node] = from;
    }
  }

  return {
    distance,
    find(isSource, isTarget, cargo) {
      withSeats = cargo === "pairs and empty seats";
      for (let node = 0; node < nodes; node++) {
        distance[node] = isSource(node) ? 0 : Number.POSITIVE_INFINITY;
        parent[node] = noNode;
      }
      isDone.fill(0);
      let nearest = nearestOpen();
      while (nearest !== noNode) {
        if (parent[nearest] !== noNode && !graph.confirm(parent[nearest], nearest)) {
          reachAgain(nearest);
          nearest = nearestOpen();
          continue;
        }
        if (isTarget(nearest)) return nearest;
        isDone[nearest] = 1;
        nearest = reachFrom(nearest);
      }
      return noNode;
    },
    augment(target, isWanted) {
      let arcs = 0;
      path[0] = target;
      for (let node = parent[target]; node !== noNode; node = parent[node]) path[++arcs] = node;
      for (let arc = arcs; arc > 0; arc--) arcLoss[arc] = lossOf(path[arc], path[arc - 1]);
      const isAsShort = () => {
        for (let arc = arcs; arc > 0; arc--) {
          graph.confirm(path[arc], path[arc - 1]);
          if (lossOf(path[arc], path[arc - 1]) !== arcLoss[arc]) return false;
        }
        return true;
      };
      let times = 0;
      do {
        for (let arc = arcs; arc > 0; arc--) {
          const isSeat = withSeats && path[arc] === ground && !(graph.losses(ground)[path[arc - 1]] <= 0);
          movers[arc] = isSeat ? noNode : graph.mover(path[arc], path[arc - 1]);
        }
        for (let arc = arcs; arc > 0; arc--) if (movers[arc] !== noNode) graph.move(movers[arc], path[arc - 1]);
        times += 1;
      } while (isWanted(path[arcs]) && isAsShort());
      return times;
    },
  };
}
