import { fixedReplicasBound, provenError } from "./lower-bound.ts";

/** What an exact search found. */
export interface ExactResult {
  /** Load of the heaviest GPU of the best placement, in pairs. */
  readonly largest: number;
  /** Whether every other placement was ruled out. */
  readonly isProven: boolean;
}

/**
 * Searches all placements of `load` `[experts]` on `gpus` equal GPUs by branch and bound: numbers of replicas first, then,
 * heaviest first, a GPU for each replica. Skips numbers whose {@link fixedReplicasBound} is no better than the best
 * placement so far, GPUs in the same state as one that was tried, and GPUs on which a replica would leave no room for the
 * lightest others or leave too much room unused.
 *
 * @param expertOfSlot `[slots]`, a placement, GPU by GPU; overwritten if a better one is found
 * @param largest load of its heaviest GPU
 * @param bound proven lower bound, at which the search stops
 * @param nodes choices after which it gives up
 */
export function searchExactly(
  load: ArrayLike<number>,
  gpus: number,
  expertOfSlot: Int32Array,
  largest: number,
  bound: number,
  nodes: number,
): ExactResult {
  const experts = load.length;
  const slots = expertOfSlot.length;
  const slotsPerGpu = slots / gpus;
  const order = Array.from({ length: experts }, (_, e) => e).sort((a, b) => load[b] - load[a] || a - b);
  const total = order.reduce((sum, e) => sum + load[e], 0);
  const replicas = new Int32Array(experts);
  const share = new Float64Array(slots);
  const expertOf = new Int32Array(slots);
  const gpuOf = new Int32Array(slots);
  const gpuLoad = new Float64Array(gpus);
  const filled = new Int32Array(gpus);
  let best = largest;
  let left = nodes;

  /** Loads at or above this are no improvement. */
  const limit = () => best * (1 - provenError);
  const isDone = () => left <= 0 || best <= bound * (1 + provenError);

  function chooseReplicas(at: number, spare: number): void {
    if (isDone()) return;
    left -= 1;
    if (at === experts) {
      listReplicas();
      if (fixedReplicasBound(share, gpus) < limit()) packReplica(0, 0);
      return;
    }
    // Of experts with equal loads, the first has the most replicas.
    const isEqual = at > 0 && load[order[at]] === load[order[at - 1]];
    const most = Math.min(spare + 1, isEqual ? replicas[order[at - 1]] : spare + 1);
    for (let count = at === experts - 1 ? spare + 1 : 1; count <= most; count++) {
      if (load[order[at]] / count >= limit()) continue;
      replicas[order[at]] = count;
      chooseReplicas(at + 1, spare + 1 - count);
    }
  }

  function listReplicas(): void {
    const byShare = order.toSorted((a, b) => load[b] / replicas[b] - load[a] / replicas[a] || a - b);
    let slot = 0;
    for (const e of byShare) {
      for (let i = 0; i < replicas[e]; i++, slot++) [share[slot], expertOf[slot]] = [load[e] / replicas[e], e];
    }
    gpuLoad.fill(0);
    filled.fill(0);
  }

  function packReplica(replica: number, unused: number): void {
    if (replica === slots) {
      keep();
      return;
    }
    const added = share[replica];
    const lightest = share[slots - 1];
    const first = replica > 0 && share[replica - 1] === added ? gpuOf[replica - 1] : 0;
    for (let gpu = first; gpu < gpus; gpu++) {
      if (isDone()) return;
      if (filled[gpu] === slotsPerGpu || isTried(gpu, first)) continue;
      const before = gpuLoad[gpu];
      const after = before + added;
      if (after + (slotsPerGpu - filled[gpu] - 1) * lightest >= limit()) continue;
      const gap = filled[gpu] === slotsPerGpu - 1 ? Math.max(0, best - after) : 0;
      if (unused + gap > (gpus * best - total) * (1 + provenError)) continue;
      left -= 1;
      gpuLoad[gpu] = after;
      filled[gpu] += 1;
      gpuOf[replica] = gpu;
      packReplica(replica + 1, unused + gap);
      gpuLoad[gpu] = before;
      filled[gpu] -= 1;
    }
  }

  function isTried(gpu: number, first: number): boolean {
    for (let other = first; other < gpu; other++) {
      if (gpuLoad[other] === gpuLoad[gpu] && filled[other] === filled[gpu]) return true;
    }
    return false;
  }

  function keep(): void {
    best = gpuLoad.reduce((most, each) => Math.max(most, each), 0);
    const next = new Int32Array(gpus);
    for (let replica = 0; replica < slots; replica++) {
      const gpu = gpuOf[replica];
      expertOfSlot[gpu * slotsPerGpu + next[gpu]++] = expertOf[replica];
    }
  }

  chooseReplicas(0, slots - experts);
  return { largest: best, isProven: left > 0 };
}
