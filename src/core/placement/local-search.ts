import { createRandom } from "../random.ts";
import { provenError } from "./lower-bound.ts";

/** What a search is given besides the loads. */
export interface SearchLimits {
  /** Proven lower bound on the largest load, in pairs. */
  readonly bound: number;
  /** Relative gap to the bound at which the search stops, ≥ 0. */
  readonly gap: number;
  /** Comparisons of slots and sorting steps after which it stops, so that the same loads give the same placement. */
  readonly work: number;
}

/**
 * Improves placements of `experts` on `gpus` equal GPUs with `slots` slots, by
 *
 *     descent     while it lowers the heaviest GPU: swap one of its slots with the slot of another GPU that lowers the larger
 *                 of both loads most
 *     annealing   swap two random slots, descend, and keep the result if it lowers Σ over GPUs of (load − bound)², 0 if below,
 *                 or with a probability that falls
 *     replicas    if the largest load is still {@link splitMargin} above the bound: the same with moves that give a slot of a
 *                 replicated expert to another expert, so that one of the heaviest GPU's experts is lighter, or at random
 *
 * Numbers of replicas change last because those of DeepSeek's balancer, which split the heaviest experts most, hold up best on
 * later loads. With two slots per GPU, annealing moves replicas and packs again, which is optimal there: the heaviest replica with
 * the lightest, and so on inwards. All arrays are allocated once per shape.
 */
export interface PlacementSearch {
  /** Changes `expertOfSlot` `[slots]` so that the largest load, which it returns, is never larger than before. */
  improve(load: Float64Array, expertOfSlot: Int32Array, limits: SearchLimits): number;
}

/** A change must lower the heaviest GPU by more than its load times this, so that rounding never keeps a descent going. */
const leastGain = 1e-12;

/** A gap, relative to the bound, that is worth other numbers of replicas. */
const splitMargin = 0.002;

/** First and last temperature, relative to the energy. */
const temperatures = [0.02, 0.001] as const;

export function createPlacementSearch(experts: number, gpus: number, slots: number): PlacementSearch {
  const slotsPerGpu = slots / gpus;
  const expertOfSlot = new Int32Array(slots);
  const replicas = new Int32Array(experts);
  /** `[experts]`, load per replica. */
  const share = new Float64Array(experts);
  const gpuLoad = new Float64Array(gpus);
  const gpuOfSlot = Int32Array.from({ length: slots }, (_, slot) => Math.floor(slot / slotsPerGpu));
  /** The slots of expert e are `slotsOf` from `firstSlot[e]` to `firstSlot[e + 1]`. */
  const slotsOf = new Int32Array(slots);
  const firstSlot = new Int32Array(experts + 1);
  const nextSlot = new Int32Array(experts);
  /** `[gpus]`, what a replica move changes; zeros between moves. */
  const change = new Float64Array(gpus);
  /** Experts by share and GPUs by load, for packing. */
  const expertOrder = new Int32Array(experts);
  const gpuOrder = new Int32Array(gpus);
  const current = new Int32Array(slots);
  let load: Float64Array = new Float64Array(experts);
  let work = 0;

  function place(from: Int32Array): void {
    expertOfSlot.set(from);
    replicas.fill(0);
    for (let slot = 0; slot < slots; slot++) replicas[expertOfSlot[slot]] += 1;
    for (let e = 0; e < experts; e++) share[e] = load[e] / replicas[e];
    for (let gpu = 0; gpu < gpus; gpu++) sumUp(gpu);
  }

  /** Sums instead of adding differences, whose rounding would pile up. */
  function sumUp(gpu: number): void {
    let sum = 0;
    for (let slot = gpu * slotsPerGpu, end = slot + slotsPerGpu; slot < end; slot++) sum += share[expertOfSlot[slot]];
    gpuLoad[gpu] = sum;
  }

  function heaviest(): number {
    let found = 0;
    for (let gpu = 1; gpu < gpus; gpu++) if (gpuLoad[gpu] > gpuLoad[found]) found = gpu;
    return found;
  }

  function swapFrom(heavy: number): boolean {
    const first = heavy * slotsPerGpu;
    let best = gpuLoad[heavy] * (1 - leastGain);
    let [bestFrom, bestTo] = [-1, -1];
    work += gpus;
    for (let gpu = 0; gpu < gpus; gpu++) {
      // No swap brings both below their mean.
      if (gpu === heavy || (gpuLoad[heavy] + gpuLoad[gpu]) / 2 >= best) continue;
      const difference = gpuLoad[heavy] - gpuLoad[gpu];
      work += slotsPerGpu * slotsPerGpu;
      for (let from = first; from < first + slotsPerGpu; from++) {
        const fromShare = share[expertOfSlot[from]];
        for (let to = gpu * slotsPerGpu, end = to + slotsPerGpu; to < end; to++) {
          const moved = fromShare - share[expertOfSlot[to]];
          if (moved <= 0 || moved >= difference) continue;
          const after = Math.max(gpuLoad[heavy] - moved, gpuLoad[gpu] + moved);
          if (after < best) [best, bestFrom, bestTo] = [after, from, to];
        }
      }
    }
    if (bestFrom < 0) return false;
    swap(bestFrom, bestTo);
    return true;
  }

  function swap(a: number, b: number): void {
    const expert = expertOfSlot[a];
    expertOfSlot[a] = expertOfSlot[b];
    expertOfSlot[b] = expert;
    sumUp(gpuOfSlot[a]);
    sumUp(gpuOfSlot[b]);
  }

  function indexSlots(): void {
    for (let e = 0; e < experts; e++) {
      firstSlot[e + 1] = firstSlot[e] + replicas[e];
      nextSlot[e] = firstSlot[e];
    }
    for (let slot = 0; slot < slots; slot++) slotsOf[nextSlot[expertOfSlot[slot]]++] = slot;
  }

  /** Returns the largest load of the GPUs that gain, and of `heavy`, if `slot` goes to `expert`. */
  function loadAfter(slot: number, expert: number, heavy: number): number {
    const giver = expertOfSlot[slot];
    const giverShare = load[giver] / (replicas[giver] - 1);
    const expertShare = load[expert] / (replicas[expert] + 1);
    work += replicas[giver] + replicas[expert];
    for (let i = firstSlot[giver]; i < firstSlot[giver + 1]; i++) {
      change[gpuOfSlot[slotsOf[i]]] += giverShare - share[giver];
    }
    for (let i = firstSlot[expert]; i < firstSlot[expert + 1]; i++) {
      change[gpuOfSlot[slotsOf[i]]] += expertShare - share[expert];
    }
    change[gpuOfSlot[slot]] += expertShare - giverShare;
    let most = gpuLoad[heavy] + change[heavy];
    for (let i = firstSlot[giver]; i < firstSlot[giver + 1]; i++) most = Math.max(most, settle(gpuOfSlot[slotsOf[i]]));
    for (let i = firstSlot[expert]; i < firstSlot[expert + 1]; i++) settle(gpuOfSlot[slotsOf[i]]);
    return most;
  }

  function settle(gpu: number): number {
    const after = change[gpu] > 0 ? gpuLoad[gpu] + change[gpu] : 0;
    change[gpu] = 0;
    return after;
  }

  function moveReplica(heavy: number): boolean {
    indexSlots();
    let best = gpuLoad[heavy] * (1 - leastGain);
    let [bestSlot, bestExpert] = [-1, -1];
    for (let slot = 0; slot < slots; slot++) {
      const giver = expertOfSlot[slot];
      if (replicas[giver] === 1) continue;
      const isHeavy = gpuOfSlot[slot] === heavy;
      for (let i = 0; i < (isHeavy ? experts : slotsPerGpu); i++) {
        const expert = isHeavy ? i : expertOfSlot[heavy * slotsPerGpu + i];
        if (expert === giver) continue;
        const after = loadAfter(slot, expert, heavy);
        if (after < best) [best, bestSlot, bestExpert] = [after, slot, expert];
      }
    }
    if (bestSlot < 0) return false;
    give(bestSlot, bestExpert);
    return true;
  }

  function give(slot: number, expert: number): void {
    const giver = expertOfSlot[slot];
    expertOfSlot[slot] = expert;
    setReplicas(giver, replicas[giver] - 1);
    setReplicas(expert, replicas[expert] + 1);
    for (let gpu = 0; gpu < gpus; gpu++) sumUp(gpu);
  }

  function setReplicas(expert: number, count: number): void {
    replicas[expert] = count;
    share[expert] = load[expert] / count;
  }

  function descend(limits: SearchLimits, movesReplicas: boolean): number {
    const enough = limits.bound * (1 + Math.max(limits.gap, provenError));
    for (;;) {
      const heavy = heaviest();
      if (gpuLoad[heavy] <= enough || work > limits.work) return gpuLoad[heavy];
      if (!swapFrom(heavy) && !(movesReplicas && moveReplica(heavy))) return gpuLoad[heavy];
    }
  }

  /** Packs the replicas in rounds of one per GPU: the heaviest of a round onto the least loaded GPU. */
  function pack(): void {
    sortBy(expertOrder, share, -1);
    gpuLoad.fill(0);
    for (let gpu = 0; gpu < gpus; gpu++) gpuOrder[gpu] = gpu;
    for (let place = 0, i = 0, used = 0; place < slotsPerGpu; place++) {
      // The least loaded got the heaviest replica, so the order is likely to be the reverse now.
      if (place > 0) gpuOrder.reverse();
      sortBy(gpuOrder, gpuLoad, 1);
      for (let n = 0; n < gpus; n++) {
        const expert = expertOrder[i];
        expertOfSlot[gpuOrder[n] * slotsPerGpu + place] = expert;
        gpuLoad[gpuOrder[n]] += share[expert];
        if (++used === replicas[expert]) [i, used] = [i + 1, 0];
      }
    }
  }

  /** Sorts by insertion, which is fast for what is nearly sorted; ties by index. */
  function sortBy(order: Int32Array, value: Float64Array, direction: 1 | -1): void {
    work += order.length;
    for (let i = 1; i < order.length; i++) {
      const item = order[i];
      const key = direction * value[item];
      let at = i;
      for (; at > 0; at--) {
        const before = direction * value[order[at - 1]];
        if (before < key || (before === key && order[at - 1] < item)) break;
        order[at] = order[at - 1];
      }
      work += i - at;
      order[at] = item;
    }
  }

  function energyAbove(bound: number): number {
    let energy = 0;
    for (let gpu = 0; gpu < gpus; gpu++) energy += Math.max(0, gpuLoad[gpu] - bound) ** 2;
    return energy;
  }

  /** Starts from the current placement; leaves the best in `best`, whose largest load it returns. */
  function anneal(limits: SearchLimits, best: Int32Array, largest: number, movesReplicas: boolean): number {
    const random = createRandom("placement");
    const below = (count: number) => Math.floor(random.uniform() * count);
    const repacks = movesReplicas && slotsPerGpu === 2;
    const { bound } = limits;
    const enough = bound * (1 + Math.max(limits.gap, provenError));
    const start = work;
    let least = largest;
    let energy = energyAbove(bound);
    current.set(expertOfSlot);
    while (work < limits.work && least > enough) {
      work += slots;
      const slot = below(slots);
      const giver = expertOfSlot[slot];
      const expert = below(experts);
      if (movesReplicas && replicas[giver] > 1 && expert !== giver) {
        if (repacks) {
          setReplicas(giver, replicas[giver] - 1);
          setReplicas(expert, replicas[expert] + 1);
          pack();
        } else give(slot, expert);
      } else if (repacks) continue;
      else swap(slot, below(slots));
      if (!repacks) descend(limits, false);
      const after = energyAbove(bound);
      const progress = (work - start) / (limits.work - start);
      const temperature = temperatures[0] * (temperatures[1] / temperatures[0]) ** progress;
      if (after <= energy * (1 - temperature * Math.log(1 - random.uniform()))) {
        energy = after;
        current.set(expertOfSlot);
        const now = gpuLoad[heaviest()];
        if (now < least * (1 - leastGain)) {
          least = now;
          best.set(expertOfSlot);
        }
      } else place(current);
    }
    return least;
  }

  return {
    improve(loads, placed, limits) {
      load = loads;
      work = 0;
      place(placed);
      const first = { ...limits, work: limits.work / 2 };
      let largest = descend(first, false);
      placed.set(expertOfSlot);
      if (gpus === 1 || slotsPerGpu === 1) return largest;
      // The order left by the last search would change how much work this one counts.
      for (let e = 0; e < experts; e++) expertOrder[e] = e;
      // Of two slots per GPU, no swap beats the balancer's packing.
      if (slotsPerGpu > 2 || slots === experts) largest = anneal(first, placed, largest, false);
      const movesReplicas = slots > experts && largest > limits.bound * (1 + Math.max(limits.gap, splitMargin));
      place(placed);
      if (movesReplicas) {
        largest = descend(limits, true);
        placed.set(expertOfSlot);
      }
      return anneal(limits, placed, largest, movesReplicas);
    },
  };
}
