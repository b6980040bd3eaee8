/** On which ranks and nodes the replicas of each expert are. */
export interface ExpertRanks {
  readonly ranks: number;
  readonly nodes: number;
  /** The replicas of expert e are those from `firstReplica[e]` to `firstReplica[e + 1]`. */
  readonly firstReplica: Int32Array;
  /** `[replicas]`. */
  readonly rankOf: Int32Array;
}

/** Where the experts are on one step of a router. */
export interface PlacedStep {
  readonly ranks: ExpertRanks;
  /** Time that moving experts before the step took, in balanced steps. */
  readonly moveTime: number;
  /** Sums the load `[experts]` over the ranks of the placement into `rankLoad` `[ranks]`, which it returns. */
  rankLoad(load: ArrayLike<number>, rankLoad: Float64Array): Float64Array;
  /** The largest load of a rank, in pairs, if the first placement that was fitted had stayed. */
  staleLoad(load: ArrayLike<number>): number;
  /** A proven lower bound on the largest load of a rank, in pairs, if the load had been known. */
  leastLoad(load: ArrayLike<number>): number;
}

/** Returns the ranks of `experts` in contiguous groups without replicas; the first groups are larger if they differ. */
export function contiguousRanks(experts: number, ranks: number): ExpertRanks {
  const [least, larger] = [Math.floor(experts / ranks), experts % ranks];
  const inLarger = larger * (least + 1);
  return {
    ranks,
    nodes: 1,
    firstReplica: Int32Array.from({ length: experts + 1 }, (_, e) => e),
    rankOf: Int32Array.from({ length: experts }, (_, e) =>
      e < inLarger ? Math.floor(e / (least + 1)) : larger + Math.floor((e - inLarger) / least),
    ),
  };
}

/** Returns the ranks of a placement, `expertOfSlot` `[slots]`, rank by rank. */
export function placedRanks(
  expertOfSlot: ArrayLike<number>,
  experts: number,
  ranks: number,
  nodes: number,
): ExpertRanks {
  const slotsPerRank = expertOfSlot.length / ranks;
  const firstReplica = new Int32Array(experts + 1);
  for (let slot = 0; slot < expertOfSlot.length; slot++) firstReplica[expertOfSlot[slot] + 1] += 1;
  for (let e = 0; e < experts; e++) firstReplica[e + 1] += firstReplica[e];
  const next = firstReplica.slice(0, experts);
  const rankOf = new Int32Array(expertOfSlot.length);
  for (let slot = 0; slot < expertOfSlot.length; slot++) {
    rankOf[next[expertOfSlot[slot]]++] = Math.floor(slot / slotsPerRank);
  }
  return { ranks, nodes, firstReplica, rankOf };
}

/** Mean number of distinct ranks and nodes per token. */
export interface Spread {
  readonly ranks: number;
  readonly nodes: number;
}

/**
 * Counts the distinct ranks, and nodes, that the experts of a token are on: what all-to-all communication pays. Means over the
 * tokens that have an expert, each in [1, slots]; null if none has. Of an expert with several replicas, pair i of the batch
 * takes number i modulo their number, as in vLLM.
 *
 * @param expert `[tokens × slots]`, −1 = none
 */
export function spreadOfTokens(
  expert: Int32Array,
  slots: number,
  tokens: number,
  { ranks, nodes, firstReplica, rankOf }: ExpertRanks,
): Spread | null {
  const ranksPerNode = ranks / nodes;
  const lastOnRank = new Int32Array(ranks).fill(-1);
  const lastOnNode = new Int32Array(nodes).fill(-1);
  let [routed, rankCount, nodeCount] = [0, 0, 0];
  for (let token = 0; token < tokens; token++) {
    let hasExpert = false;
    for (let pair = token * slots; pair < (token + 1) * slots; pair++) {
      const e = expert[pair];
      if (e < 0) continue;
      hasExpert = true;
      const first = firstReplica[e];
      const rank = rankOf[first + (pair % (firstReplica[e + 1] - first))];
      if (lastOnRank[rank] === token) continue;
      lastOnRank[rank] = token;
      rankCount += 1;
      const node = Math.floor(rank / ranksPerNode);
      if (lastOnNode[node] === token) continue;
      lastOnNode[node] = token;
      nodeCount += 1;
    }
    if (hasExpert) routed += 1;
  }
  return routed === 0 ? null : { ranks: rankCount / routed, nodes: nodeCount / routed };
}
