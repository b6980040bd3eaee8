import type { Kernels } from "../../kernels/kernels.ts";
import { createCompensatedSum } from "../optimise/compensated-sum.ts";

/**
 * An assignment of tokens to experts as a graph on the experts: the arc from e to f is the token on e, not on f, that
 * loses the least score when it moves. A further node, the *ground*, holds the slots without an expert, at score 0.
 * A *pair* is a token's slot, token · topK + slot.
 */
export interface ExchangeGraph {
  /** The ground's node, = experts. */
  readonly ground: number;
  /** `[tokens × topK]`, the expert of each pair, the ground where there is none. */
  readonly expert: Int32Array;
  /** `[experts + 1]`, pairs on each node. */
  readonly load: Int32Array;
  /** Forgets everything and puts every pair of `tokens` tokens on the ground. `scores` `[tokens × experts]` is copied. */
  reset(scores: Float64Array, tokens: number): void;
  /** Moves `pair` to `node`, where its token is not yet unless it is the ground. */
  move(pair: number, node: number): void;
  /**
   * `[experts + 1]` for each node: at most the least score lost by moving one pair from `node` there, +∞ where none can
   * go; that loss itself for arcs that were confirmed since the last move. The row belongs to the graph.
   */
  losses(node: number): Float64Array;
  /** Makes `losses(from)[to]` the least loss itself; returns whether it was that already. */
  confirm(from: number, to: number): boolean;
  /** The pair that loses least from `from` to `to`, for an arc that was confirmed since the last move and is not +∞. */
  mover(from: number, to: number): number;
  /** Σ of the scores of all pairs, to the last digit. */
  value(): number;
}

/** In place of the mover of an arc whose best one is gone: the loss it had is a lower bound of what is left. */
const gone = -2;

/**
 * Keeps for each arc its best mover. A move adds one candidate to the arcs that leave its new node. From those that leave
 * its old one it takes the best of some, which are searched anew, in O(load), only when an answer depends on them: most
 * never do. So a move costs O(experts).
 */
export function createExchangeGraph(kernels: Kernels, tokens: number, experts: number, topK: number): ExchangeGraph {
  const ground = experts;
  const nodes = experts + 1;
  /** S, −∞ where the token is on the expert already. */
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

  /** Finds the best mover of one arc anew. */
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

  /** Lets `pair` compete for an arc that leaves its node. */
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
