import { counted } from "../words.ts";
/**
 * Where the experts of one MoE layer are: which expert each slot of each GPU holds. A replicated expert has several slots,
 * and its load is split evenly over them, as the engines do. Replicas of one expert can share a GPU, as in DeepSeek's
 * balancer: forbidding it would only narrow the choice, and no engine does.
 */
export interface PlacementShape {
  readonly experts: number;
  /** Ranks of expert parallelism. */
  readonly gpus: number;
  /** Physical experts on all GPUs together, at least `experts` and a multiple of `gpus`. */
  readonly slots: number;
  /** A divisor of `gpus`. */
  readonly nodes: number;
  /** Equal contiguous groups of experts, a divisor of `experts`. */
  readonly groups: number;
}

/** What is wrong with a shape: which number, and a text that starts with it. */
export interface ShapeProblem {
  readonly field: keyof PlacementShape;
  readonly message: string;
}

/** A placement of one layer takes time and memory for each GPU and slot. */
const [mostGpus, mostSlots] = [65_536, 1_048_576];

/** Returns the first thing wrong with `shape`; null if it is sound. */
export function shapeProblem({ experts, gpus, slots, nodes, groups }: PlacementShape): ShapeProblem | null {
  if (gpus > mostGpus)
    return { field: "gpus", message: `${counted(gpus, "GPU")} are too many; give at most ${mostGpus}` };
  if (slots > mostSlots)
    return { field: "slots", message: `${counted(slots, "slot")} are too many; give at most ${mostSlots}` };
  if (slots < experts) {
    return {
      field: "slots",
      message: `${counted(slots, "slot")} for ${counted(experts, "expert")}; give at least one slot per expert`,
    };
  }
  if (slots % gpus !== 0) {
    const next = Math.ceil(slots / gpus) * gpus;
    return {
      field: "slots",
      message: `${counted(slots, "slot")} do not divide evenly over ${counted(gpus, "GPU")}; give e.g. ${next}`,
    };
  }
  if (gpus % nodes !== 0) {
    return {
      field: "nodes",
      message: `${counted(gpus, "GPU")} do not divide evenly over ${counted(nodes, "node")}; give a divisor of ${gpus}`,
    };
  }
  if (experts % groups !== 0) {
    return {
      field: "groups",
      message: `${counted(experts, "expert")} do not divide evenly into ${counted(groups, "group")}; give a divisor of ${experts}`,
    };
  }
  const slotsPerNode = slots / nodes;
  if (isHierarchical({ groups, nodes }) && slotsPerNode < experts / nodes) {
    return { field: "slots", message: `${counted(slotsPerNode, "slot")} per node for ${experts / nodes} experts` };
  }
  return null;
}

/**
 * Whether every group of experts stays on one node, with all replicas of its experts: DeepSeek's rule for models that
 * limit a token to some groups, in force if `nodes` divides `groups`.
 */
export function isHierarchical({ groups, nodes }: Pick<PlacementShape, "groups" | "nodes">): boolean {
  return groups % nodes === 0;
}

/** Returns the experts of `groups`, contiguous groups of `groupSize` experts each, in the order of the groups. */
export function expertsOfGroups(groups: readonly number[], groupSize: number): Int32Array {
  return Int32Array.from({ length: groups.length * groupSize }, (_, i) => {
    return groups[Math.floor(i / groupSize)] * groupSize + (i % groupSize);
  });
}

/** Returns the loads of contiguous groups of experts, `[groups]`, for `load` `[experts]`. */
export function loadOfGroups(load: ArrayLike<number>, groups: number): Float64Array {
  const groupSize = load.length / groups;
  return Float64Array.from({ length: groups }, (_, group) => {
    let sum = 0;
    for (let e = group * groupSize; e < (group + 1) * groupSize; e++) sum += load[e];
    return sum;
  });
}

/** Returns how many slots each expert has, `[experts]`. */
export function replicaCounts(expertOfSlot: ArrayLike<number>, experts: number): Int32Array {
  const counts = new Int32Array(experts);
  for (let slot = 0; slot < expertOfSlot.length; slot++) counts[expertOfSlot[slot]] += 1;
  return counts;
}

/**
 * Sums `load` `[experts]` over the GPUs of a placement, in pairs, into `rankLoad` `[gpus]`, which it returns.
 *
 * @param expertOfSlot `[slots]`, the expert in each slot, GPU by GPU
 * @param replicas `[experts]`, of {@link replicaCounts}
 */
export function placedLoad(
  load: ArrayLike<number>,
  expertOfSlot: ArrayLike<number>,
  replicas: ArrayLike<number>,
  rankLoad: Float64Array,
): Float64Array {
  const slotsPerGpu = expertOfSlot.length / rankLoad.length;
  for (let gpu = 0, slot = 0; gpu < rankLoad.length; gpu++) {
    let sum = 0;
    for (let end = slot + slotsPerGpu; slot < end; slot++)
      sum += load[expertOfSlot[slot]] / replicas[expertOfSlot[slot]];
    rankLoad[gpu] = sum;
  }
  return rankLoad;
}

/**
 * Experts in the order of their ids, slot by slot, beginning again after the last one: what vLLM, SGLang and
 * TensorRT-LLM start with. Ignores nodes and groups.
 */
export function placeContiguously({ experts, slots }: PlacementShape): Int32Array {
  return Int32Array.from({ length: slots }, (_, slot) => slot % experts);
}

/** Experts dealt to the GPUs one by one: with one slot per expert, expert e is on GPU e mod G. Ignores nodes and groups. */
export function placeInStripes({ experts, gpus, slots }: PlacementShape): Int32Array {
  const slotsPerGpu = slots / gpus;
  return Int32Array.from({ length: slots }, (_, slot) => {
    const [gpu, place] = [Math.floor(slot / slotsPerGpu), slot % slotsPerGpu];
    return (place * gpus + gpu) % experts;
  });
}
