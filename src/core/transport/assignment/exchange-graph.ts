import type { Kernels } from "../../kernels/kernels.ts";
import { createCompensatedSum } from "../optimise/compensated-sum.ts";

/**
 * An assignment of tokens to experts as a graph on the experts: the arc from e to f stands for the token on e, not on f,
 * that loses the least score when it moves. One more node, the *ground*, holds the slots without an expert, at score 0.
 * A *pair* is a token's slot, token · topK + slot.
 */
export interface ExchangeGraph {
  /** The ground's node, = experts. */
  readonly ground: number;
  /** `[tokens × topK]`, the expert of each pair, or the ground. */
  readonly expert: Int32Array;
  /** `[experts + 1]`, pairs on each node. */
  readonly load: Int32Array;
  /** Starts again with every pair of `tokens` tokens on the ground. Copies `scores` `[tokens × experts]`. */
  reset(scores: Float64Array, tokens: number): void;
  /** Moves `pair` to `node`, which must not have its token already, unless it is the ground. */
  move(pair: number, node: number): void;
  /**
   * `[experts + 1]`, for each node a lower bound of the least score lost by moving one pair from `node` there, +∞ if no pair
   * can go; the exact loss for arcs confirmed since the last move. The row belongs to the graph.
   */
  losses(node: number): Float64Array;
  /** Makes `losses(from)[to]` exact; returns whether it already was. */
  confirm(from: number, to: number): boolean;
  /** The pair that loses least by moving from `from` to `to`; only for arcs confirmed since the last move and not +∞. */
  mover(from: number, to: number): number;
  /** Σ of the scores of all pairs, to the last digit. */
  value(): number;
}

/** Stands for the mover of an arc whose best mover has left; its loss is a lower bound for the others. */
const gone = -2;

/**
 * Keeps the best mover of each arc. A move adds one candidate to the arcs that leave its new node, and may remove the best
 * mover of arcs that leave its old node. These are searched again, in O(load), only when an answer depends on them, which is
 * rare. So a move costs O(experts).
 */
export function createExchangeGraph(kernels: Kernels, tokens: number, experts: number, topK: number): ExchangeGraph {
  const ground = experts;
  const nodes = experts + 1;
  /** S; −∞ if the token is on the expert already. */
  const joining = kernels.allocateFloat64(tokens * experts);
  /** `[pairs]`, S of the pair. */
  const held = kernels.allocateFloat64(tokens * topK);
  const expert = kernels.allocateInt32(tokens * topK);
  const load = kernels.allocateInt32(nodes);
  // The pairs of each node as a doubly linked list.
  const first = kernels.allocateInt32(nodes);
  const next = kernels.allocateInt32(tokens * topK);
  const previous = kernels.allocateInt32(tokens * topK);
  const loss = kernels.allocateFloat64(nodes * nodes);
  const movers = kernels.allocateInt32(nodes * nodes);
  const rows = Array.from({ length: nodes }, (_, node) => ({
    loss: loss.subarray(node * nodes, (node + 1) * nodes),
    mover: movers.subarray(node * nodes, (node + 1) * nodes),
  }));
  const isFilled = new Uint8Array(nodes);
  let pairs = 0;

  function link(pair: number, node: number): void {
    expert[pair] = node;
    previous[pair] = -1;
    next[pair] = first[node];
    if (first[node] >= 0) previous[first[node]] = pair;
    first[node] = pair;
    load[node] += 1;
  }

  function unlink(pair: number, node: number): void {
    if (previous[pair] >= 0) next[previous[pair]] = next[pair];
    else first[node] = next[pair];
    if (next[pair] >= 0) previous[next[pair]] = previous[pair];
    load[node] -= 1;
  }

  function fillRow(node: number): void {
    kernels.leastLosses(joining, held, first[node], next, topK, experts, rows[node].loss, rows[node].mover);
    if (node === ground) rows[node].loss[ground] = Number.POSITIVE_INFINITY;
    isFilled[node] = 1;
  }

  /** Searches the best mover of one arc again. */
  function searchArc(from: number, to: number): void {
    let least = Number.POSITIVE_INFINITY;
    let best = -1;
    for (let pair = first[from]; pair >= 0; pair = next[pair]) {
      const lost = held[pair] - (to === ground ? 0 : joining[Math.floor(pair / topK) * experts + to]);
      if (lost >= least) continue;
      least = lost;
      best = pair;
    }
    rows[from].loss[to] = least;
    rows[from].mover[to] = best;
  }

  /** Considers `pair` as the mover of an arc that leaves its node. */
  function offer(pair: number, to: number, lost: number): void {
    const { loss: least, mover } = rows[expert[pair]];
    if (lost > least[to] || (lost === least[to] && mover[to] !== gone)) return;
    least[to] = lost;
    mover[to] = pair;
  }

  return {
    ground,
    expert,
    load,
    reset(scores, count) {
      pairs = count * topK;
      joining.set(scores.subarray(0, count * experts));
      held.fill(0, 0, pairs);
      load.fill(0);
      first.fill(-1);
      for (let pair = pairs - 1; pair >= 0; pair--) link(pair, ground);
      isFilled.fill(0);
    },
    move(pair, to) {
      const from = expert[pair];
      const token = Math.floor(pair / topK);
      const row = token * experts;
      unlink(pair, from);
      if (isFilled[from] === 1) {
        const { mover } = rows[from];
        for (let node = 0; node < nodes; node++) if (mover[node] === pair) mover[node] = gone;
      }
      if (from !== ground) joining[row + from] = held[pair];
      held[pair] = to === ground ? 0 : joining[row + to];
      if (to !== ground) joining[row + to] = Number.NEGATIVE_INFINITY;
      link(pair, to);
      for (let other = token * topK; other < (token + 1) * topK; other++) {
        const node = expert[other];
        if (other === pair || isFilled[node] === 0) continue;
        if (to !== ground && rows[node].mover[to] === other) rows[node].mover[to] = gone;
        if (from !== ground) offer(other, from, held[other] - joining[row + from]);
      }
      if (isFilled[to] === 0) return;
      for (let node = 0; node < experts; node++) offer(pair, node, held[pair] - joining[row + node]);
      if (to !== ground) offer(pair, ground, held[pair]);
    },
    losses(node) {
      if (isFilled[node] === 0) fillRow(node);
      return rows[node].loss;
    },
    confirm(from, to) {
      if (rows[from].mover[to] !== gone) return true;
      const bound = rows[from].loss[to];
      searchArc(from, to);
      return rows[from].loss[to] === bound;
    },
    mover: (from, to) => rows[from].mover[to],
    value() {
      const sum = createCompensatedSum();
      for (let pair = 0; pair < pairs; pair++) sum.add(held[pair]);
      return sum.value();
    },
  };
}
