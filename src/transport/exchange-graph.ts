import type { Kernels } from "../kernels/kernels.ts";

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
   * `[experts + 1]` for each node: the least score lost by moving one pair from `node` there, +∞ where none can go. The
   * row belongs to the graph; it is up to date until the next move.
   */
  losses(node: number): Float64Array;
  /** The pair that loses least from `from` to `to`, where `losses(from)` is up to date and finite. */
  mover(from: number, to: number): number;
  /** Σ of the scores of all pairs, summed in the order of the pairs. */
  value(): number;
}

/**
 * Keeps for each pair of nodes the best mover. A move makes its new node's row better by one candidate; the row it leaves
 * is only made anew when it is asked for and the pair was the best mover of some arc. So a move costs O(experts), and a
 * row O(load · experts).
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
  const isStale = new Uint8Array(nodes);
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

  function refresh(node: number): void {
    kernels.leastLosses(joining, held, first[node], next, topK, experts, rows[node].loss, rows[node].mover);
    if (node === ground) rows[node].loss[ground] = Number.POSITIVE_INFINITY;
    isStale[node] = 0;
  }

  /** Finds the best mover of one arc anew. */
  function refreshArc(from: number, to: number): void {
    const row = rows[from];
    let least = Number.POSITIVE_INFINITY;
    for (let pair = first[from]; pair >= 0; pair = next[pair]) {
      const lost = held[pair] - joining[Math.floor(pair / topK) * experts + to];
      if (lost >= least) continue;
      least = lost;
      row.mover[to] = pair;
    }
    row.loss[to] = least;
  }

  /** Lets `pair`, new on `node`, compete for the arcs that leave it. */
  function offer(pair: number, node: number): void {
    if (isStale[node] === 1) return;
    const { loss: least, mover } = rows[node];
    const row = Math.floor(pair / topK) * experts;
    for (let to = 0; to < experts; to++) {
      const lost = held[pair] - joining[row + to];
      if (lost < least[to]) {
        least[to] = lost;
        mover[to] = pair;
      }
    }
    if (node !== ground && held[pair] < least[ground]) {
      least[ground] = held[pair];
      mover[ground] = pair;
    }
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
      isStale.fill(1);
    },
    move(pair, to) {
      const from = expert[pair];
      const token = Math.floor(pair / topK);
      const row = token * experts;
      unlink(pair, from);
      if (from !== ground) joining[row + from] = held[pair];
      if (isStale[from] === 0 && rows[from].mover.includes(pair)) isStale[from] = 1;
      held[pair] = to === ground ? 0 : joining[row + to];
      if (to !== ground) joining[row + to] = Number.NEGATIVE_INFINITY;
      link(pair, to);
      for (let other = token * topK; other < (token + 1) * topK; other++) {
        const node = expert[other];
        if (other === pair || isStale[node] === 1) continue;
        if (to !== ground && rows[node].mover[to] === other) refreshArc(node, to);
        if (from !== ground) {
          const lost = held[other] - joining[row + from];
          if (lost < rows[node].loss[from]) {
            rows[node].loss[from] = lost;
            rows[node].mover[from] = other;
          }
        }
      }
      offer(pair, to);
    },
    losses(node) {
      if (isStale[node] === 1) refresh(node);
      return rows[node].loss;
    },
    mover: (from, to) => rows[from].mover[to],
    value() {
      let sum = 0;
      for (let pair = 0; pair < pairs; pair++) sum += held[pair];
      return sum;
    },
  };
}
