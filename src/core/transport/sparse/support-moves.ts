import type { ColumnCosts } from "./column-costs.ts";

/** Which tokens are in which columns of a support. */
export interface Membership {
  readonly mostTokens: number;
  /** `[experts × tokens]`, entry e·tokens + t is 1 where token t is in column e, otherwise 0. */
  readonly isMember: Uint8Array;
}

export function createMembership(mostTokens: number, experts: number): Membership {
  return { mostTokens, isMember: new Uint8Array(experts * mostTokens) };
}

/** The cheapest move of a token from each column to each other column, kept up to date while tokens move. */
export interface Moves {
  /** The tokens of column e at [e·size, (e + 1)·size), in any order. */
  readonly columnToken: Int32Array;
  /** `[experts × experts]`: what the cheapest move from column f to g changes the total cost by, or less if not settled. */
  readonly moveCost: Float64Array;
  /** `[experts × experts]`: the token of that move, if settled. */
  readonly moveToken: Int32Array;
  /** All moves are unknown, of columns of `size` tokens; no move from f to g costs less than price_g − price_f. */
  reset(size: number, price: Float64Array): void;
  /** Makes the cheapest move from column `from` to column `to` exact; ∞ where there is none. */
  settle(from: number, to: number): void;
  /** Tells that in column e token `joiner` has taken the place of `leaver`. */
  replace(e: number, leaver: number, joiner: number): void;
}

/**
 * A move whose token has left is not looked for again until it is asked for: most never are. Its last cost remains a
 * lower bound, since a column has only lost a token that could move.
 */
export function createMoves(costs: ColumnCosts, { isMember }: Membership, mostEntries: number): Moves {
  const { cost, experts } = costs;
  const columnToken = new Int32Array(mostEntries);
  const moveCost = new Float64Array(experts * experts);
  const moveToken = new Int32Array(experts * experts);
  const isSettled = new Uint8Array(experts * experts);
  let size = 0;

  /** Takes token t's move from column `from` to `to` if it is the cheapest. */
  function offer(t: number, from: number, to: number): void {
    const move = from * experts + to;
    const change = cost[to * costs.tokens + t] - cost[from * costs.tokens + t];
    if (change >= moveCost[move]) return;
    moveCost[move] = change;
    moveToken[move] = t;
    isSettled[move] = 1;
  }

  return {
    columnToken,
    moveCost,
    moveToken,
    reset(columnSize, price) {
      size = columnSize;
      isSettled.fill(0);
      for (let from = 0; from < experts; from++) {
        for (let to = 0; to < experts; to++) moveCost[from * experts + to] = price[to] - price[from];
      }
    },
    settle(from, to) {
      const move = from * experts + to;
      if (isSettled[move] === 1) return;
      isSettled[move] = 1;
      moveCost[move] = Number.POSITIVE_INFINITY;
      const [fromColumn, toColumn] = [from * costs.tokens, to * costs.tokens];
      for (let i = from * size; i < (from + 1) * size; i++) {
        const t = columnToken[i];
        const change = cost[toColumn + t] - cost[fromColumn + t];
        if (change >= moveCost[move] || isMember[toColumn + t] === 1) continue;
        moveCost[move] = change;
        moveToken[move] = t;
      }
    },
    replace(e, leaver, joiner) {
      for (let other = 0; other < experts; other++) {
        if (other === e) continue;
        const away = e * experts + other;
        const hither = other * experts + e;
        if (moveToken[away] === leaver) isSettled[away] = 0;
        if (moveToken[hither] === joiner) isSettled[hither] = 0;
        if (isMember[other * costs.tokens + joiner] === 0) offer(joiner, e, other);
        if (isMember[other * costs.tokens + leaver] === 1) offer(leaver, other, e);
      }
    },
  };
}
