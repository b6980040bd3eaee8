import type { ColumnCosts } from "./column-costs.ts";
import type { ColumnSelector } from "./column-selection.ts";
import { createMoves, type Membership } from "./support-moves.ts";

/** Finds supports that give each row and each column its share. */
export interface SupportBalancer {
  /**
   * Writes into the membership the support with `size` tokens in each column and at least `least` entries in each row,
   * size·E ≥ least·T, of the smallest total cost. The closer the selector's α is to the prices that make it so, the
   * sooner it is found.
   */
  balance(size: number, least: number): void;
}

// Chains that save less than this are rounding.
const chainRounding = 1e-12;

/**
 * The successive shortest path algorithm for minimum-cost flow (Ahuja, Magnanti & Orlin 1993, section 9.7), on a graph
 * whose only nodes are the experts. Each column starts with the tokens of its `size` largest α − c_e, which is the
 * cheapest support for the row counts that it has. Then each row that is short of entries gets one by the cheapest chain:
 * it joins a column, one of whose tokens moves on to another column, and so on, until the one that leaves the last column
 * has more than `least` entries. That keeps the support the cheapest for its row counts.
 *
 * Chains are found by Dijkstra's algorithm with a price a column: of a move from e to f, its cost + price_e − price_f is
 * never negative. At the start the price is minus the column's smallest α − c_e. The search ends as soon as no column
 * that is left could end a cheaper chain.
 *
 * Entries to spare, size·E − least·T of them, may still be in the wrong rows: while any row could take one of them by a
 * chain that lowers the total cost, the cheapest such chain is applied.
 */
export function createSupportBalancer(
  costs: ColumnCosts,
  selector: ColumnSelector,
  membership: Membership,
  mostEntries: number,
): SupportBalancer {
  const { cost, experts } = costs;
  const { isMember } = membership;
  const moves = createMoves(costs, membership, mostEntries);
  const { columnToken, moveCost, moveToken } = moves;
  const rowEntries = new Int32Array(membership.mostTokens);
  const price = new Float64Array(experts);
  // Length of the cheapest chain into a column, less its price.
  const label = new Float64Array(experts);
  const isFinal = new Uint8Array(experts);
  const predecessor = new Int32Array(experts);
  const leaverOf = new Int32Array(experts);
  // The token of a column that can leave it at the end of a chain, and what that costs; ∞ where none can.
  const endCost = new Float64Array(experts);
  const endToken = new Int32Array(experts);
  // The same at the beginning of a chain, where any row may begin one.
  const startCost = new Float64Array(experts);
  const startToken = new Int32Array(experts);
  let size = 0;
  let least = 0;

  function chooseFavourites(): void {
    const { tokens } = costs;
    const { token, value } = selector.selection;
    isMember.fill(0, 0, experts * tokens);
    rowEntries.fill(0, 0, tokens);
    selector.reset();
    for (let e = 0; e < experts; e++) {
      selector.select(e, size, Number.NEGATIVE_INFINITY);
      let smallest = Number.POSITIVE_INFINITY;
      for (let i = 0; i < size; i++) {
        columnToken[e * size + i] = token[i];
        isMember[e * tokens + token[i]] = 1;
        rowEntries[token[i]] += 1;
        smallest = Math.min(smallest, value[i]);
      }
      price[e] = -smallest;
    }
  }

  function findEnd(e: number): void {
    endCost[e] = Number.POSITIVE_INFINITY;
    for (let i = e * size; i < (e + 1) * size; i++) {
      const t = columnToken[i];
      const saved = -cost[e * costs.tokens + t];
      if (rowEntries[t] <= least || saved >= endCost[e]) continue;
      endCost[e] = saved;
      endToken[e] = t;
    }
  }

  function findStart(e: number): void {
    startCost[e] = Number.POSITIVE_INFINITY;
    const column = e * costs.tokens;
    for (let t = 0; t < costs.tokens; t++) {
      if (isMember[column + t] === 1 || cost[column + t] >= startCost[e]) continue;
      startCost[e] = cost[column + t];
      startToken[e] = t;
    }
  }

  function nextColumn(): number {
    let next = -1;
    for (let e = 0; e < experts; e++) if (isFinal[e] === 0 && (next < 0 || label[e] < label[next])) next = e;
    return next;
  }

  /** Shortens the chains that go on from column `from`. */
  function relax(from: number): void {
    for (let to = 0; to < experts; to++) {
      if (isFinal[to] === 1) continue;
      const move = from * experts + to;
      const base = label[from] + price[from] - price[to];
      if (base + moveCost[move] >= label[to]) continue;
      moves.settle(from, to);
      if (base + moveCost[move] >= label[to]) continue;
      label[to] = base + moveCost[move];
      predecessor[to] = from;
    }
  }

  /** The last column of the cheapest chain from the labels given, −1 when none costs less than `limit`. */
  function findChain(limit: number): number {
    let cheapestEnd = Number.POSITIVE_INFINITY;
    for (let e = 0; e < experts; e++) cheapestEnd = Math.min(cheapestEnd, price[e] + endCost[e]);
    isFinal.fill(0);
    predecessor.fill(-1);
    let shortest = limit;
    let last = -1;
    for (let e = nextColumn(); e >= 0 && label[e] + cheapestEnd < shortest; e = nextColumn()) {
      isFinal[e] = 1;
      const length = label[e] + price[e] + endCost[e];
      if (length < shortest) {
        shortest = length;
        last = e;
      }
      relax(e);
    }
    if (last < 0) return -1;
    // Prices stay such that no move costs less than their difference; the moves of the chain now cost just that.
    const reach = shortest - cheapestEnd;
    for (let e = 0; e < experts; e++) if (isFinal[e] === 1 && label[e] < reach) price[e] += label[e] - reach;
    return last;
  }

  /** Moves the tokens of the chain that ends in column `last`, whose first joiner is row t. */
  function applyChain(last: number, t: number): void {
    const { tokens } = costs;
    const surplus = endToken[last];
    rowEntries[surplus] -= 1;
    rowEntries[t] += 1;
    let leaver = surplus;
    for (let e = last; e >= 0; e = predecessor[e]) {
      const joiner = predecessor[e] < 0 ? t : moveToken[predecessor[e] * experts + e];
      columnToken[columnToken.indexOf(leaver, e * size)] = joiner;
      isMember[e * tokens + leaver] = 0;
      isMember[e * tokens + joiner] = 1;
      leaverOf[e] = leaver;
      leaver = joiner;
    }
    for (let e = last; e >= 0; e = predecessor[e]) {
      moves.replace(e, leaverOf[e], predecessor[e] < 0 ? t : leaverOf[predecessor[e]]);
      findEnd(e);
    }
    for (let e = 0; e < experts; e++) {
      if (endToken[e] === surplus || (rowEntries[t] > least && isMember[e * tokens + t] === 1)) findEnd(e);
    }
  }

  /** Gives row t, which is short of entries, one more. */
  function supply(t: number): void {
    for (let e = 0; e < experts; e++) {
      const entry = e * costs.tokens + t;
      label[e] = isMember[entry] === 1 ? Number.POSITIVE_INFINITY : cost[entry] - price[e];
    }
    applyChain(findChain(Number.POSITIVE_INFINITY), t);
  }

  /** Brings one of the entries to spare to where it costs less; returns whether there was such a place. */
  function moveSpare(): boolean {
    for (let e = 0; e < experts; e++) label[e] = startCost[e] - price[e];
    const last = findChain(-chainRounding);
    if (last < 0) return false;
    let first = last;
    while (predecessor[first] >= 0) first = predecessor[first];
    applyChain(last, startToken[first]);
    for (let e = last; e >= 0; e = predecessor[e]) findStart(e);
    return true;
  }

  return {
    balance(columnSize, rowLeast) {
      size = columnSize;
      least = rowLeast;
      chooseFavourites();
      moves.reset(size, price);
      for (let e = 0; e < experts; e++) findEnd(e);
      for (let t = 0; t < costs.tokens; t++) while (rowEntries[t] < least) supply(t);
      if (size * experts === least * costs.tokens) return;
      for (let e = 0; e < experts; e++) findStart(e);
      while (moveSpare());
    },
  };
}
