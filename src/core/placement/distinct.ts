import { counted } from "../words.ts";
import { isHierarchical, type PlacementShape } from "./placement.ts";

/** A swap must lower the heaviest GPU by more than its load times this, so that rounding never keeps a descent going. */
const leastGain = 1e-12;

/**
 * Changes a placement `[slots]` until no GPU holds an expert twice, which vllm-ascend needs: its map from experts to the
 * slots of a GPU has room for one. Returns a new array.
 *
 *     swap      the second replica goes to another GPU of its node, for the expert that leaves the larger of both loads least
 *     replace   if no GPU lacks the expert: the replica with the most load of an expert that the GPU lacks takes its place
 *     descend   while it lowers the heaviest GPU of a node: swap one of its slots with the slot of another that lowers the larger
 *               of both loads most, and makes no second replica
 *
 * Needs at most as many slots per GPU as there are experts that a node can hold, see {@link distinctProblem}.
 */
export function separateReplicas(load: ArrayLike<number>, placement: Int32Array, shape: PlacementShape): Int32Array {
  const { experts, gpus, slots } = shape;
  const expertOfSlot = placement.slice();
  const slotsPerGpu = slots / gpus;
  const gpusPerNode = gpus / (isHierarchical(shape) ? shape.nodes : 1);
  const replicas = new Int32Array(experts);
  for (const expert of expertOfSlot) replicas[expert] += 1;
  const share = (expert: number) => load[expert] / replicas[expert];
  const gpuOf = (slot: number) => Math.floor(slot / slotsPerGpu);
  const nodeOf = (gpu: number) => Math.floor(gpu / gpusPerNode);
  /** The experts of each node; a group stays where it is. */
  const members = Array.from({ length: gpus / gpusPerNode }, (_, node) => {
    const first = node * gpusPerNode * slotsPerGpu;
    return new Set(expertOfSlot.subarray(first, first + gpusPerNode * slotsPerGpu));
  });

  function isOn(gpu: number, expert: number): boolean {
    const first = gpu * slotsPerGpu;
    for (let slot = first; slot < first + slotsPerGpu; slot++) if (expertOfSlot[slot] === expert) return true;
    return false;
  }

  function loadOf(gpu: number): number {
    let sum = 0;
    for (let slot = gpu * slotsPerGpu; slot < (gpu + 1) * slotsPerGpu; slot++) sum += share(expertOfSlot[slot]);
    return sum;
  }

  function secondReplica(): number {
    return expertOfSlot.findIndex((expert, slot) => {
      for (let before = gpuOf(slot) * slotsPerGpu; before < slot; before++) {
        if (expertOfSlot[before] === expert) return true;
      }
      return false;
    });
  }

  /** Returns the slot to swap `slot` with that leaves the larger of both GPUs' loads least, below `limit`; −1 if there is none. */
  function bestSwap(slot: number, limit: number): { to: number; largest: number } {
    const [gpu, expert] = [gpuOf(slot), expertOfSlot[slot]];
    let [to, largest] = [-1, limit];
    const own = loadOf(gpu);
    for (let other = nodeOf(gpu) * gpusPerNode; other < (nodeOf(gpu) + 1) * gpusPerNode; other++) {
      if (other === gpu || isOn(other, expert)) continue;
      const theirs = loadOf(other);
      for (let candidate = other * slotsPerGpu; candidate < (other + 1) * slotsPerGpu; candidate++) {
        if (isOn(gpu, expertOfSlot[candidate])) continue;
        const moved = share(expert) - share(expertOfSlot[candidate]);
        const after = Math.max(own - moved, theirs + moved);
        if (after < largest) [to, largest] = [candidate, after];
      }
    }
    return { to, largest };
  }

  function swap(a: number, b: number): void {
    [expertOfSlot[a], expertOfSlot[b]] = [expertOfSlot[b], expertOfSlot[a]];
  }

  function replace(slot: number): void {
    const gpu = gpuOf(slot);
    const missing = Array.from(members[nodeOf(gpu)]).filter((expert) => !isOn(gpu, expert));
    const heaviest = missing.reduce((most, expert) => (share(expert) > share(most) ? expert : most));
    replicas[expertOfSlot[slot]] -= 1;
    replicas[heaviest] += 1;
    expertOfSlot[slot] = heaviest;
  }

  for (let slot = secondReplica(); slot >= 0; slot = secondReplica()) {
    const { to } = bestSwap(slot, Number.POSITIVE_INFINITY);
    if (to < 0) replace(slot);
    else swap(slot, to);
  }
  for (let node = 0; node < members.length; node++) {
    for (;;) {
      let heavy = node * gpusPerNode;
      for (let gpu = heavy; gpu < (node + 1) * gpusPerNode; gpu++) if (loadOf(gpu) > loadOf(heavy)) heavy = gpu;
      let [from, to, largest] = [-1, -1, loadOf(heavy) * (1 - leastGain)];
      for (let slot = heavy * slotsPerGpu; slot < (heavy + 1) * slotsPerGpu; slot++) {
        const found = bestSwap(slot, largest);
        if (found.to >= 0) [from, to, largest] = [slot, found.to, found.largest];
      }
      if (from < 0) break;
      swap(from, to);
    }
  }
  return expertOfSlot;
}

/** Returns why every placement of this shape has a GPU with an expert twice; null if there are others. */
export function distinctProblem(shape: PlacementShape): string | null {
  const { experts, gpus, slots, nodes } = shape;
  const perNode = isHierarchical(shape) ? experts / nodes : experts;
  if (slots / gpus <= perNode) return null;
  return `${counted(slots / gpus, "slot")} per GPU for ${counted(perNode, "expert")}; give at most ${perNode * gpus}, so that no GPU holds an expert twice`;
}

/** Returns the first GPU that holds an expert twice, and the expert; null if there is none. */
export function findSecondReplica(expertOfSlot: Int32Array, gpus: number): { gpu: number; expert: number } | null {
  const slotsPerGpu = expertOfSlot.length / gpus;
  for (let gpu = 0; gpu < gpus; gpu++) {
    const own = Array.from(expertOfSlot.subarray(gpu * slotsPerGpu, (gpu + 1) * slotsPerGpu));
    const second = own.find((expert, at) => own.indexOf(expert) < at);
    if (second !== undefined) return { gpu, expert: second };
  }
  return null;
}
