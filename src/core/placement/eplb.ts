import { expertsOfGroups, isHierarchical, loadOfGroups, type PlacementShape } from "./placement.ts";

/**
 * DeepSeek's expert-parallelism load balancer, slot by slot as `deepseek-ai/EPLB` places them (DeepSeek-AI 2024, arXiv
 * 2412.19437, section 3.4). Returns the expert of each slot, `[slots]`, GPU by GPU, for `load` `[experts]`.
 *
 *     replicate   each spare slot goes to the expert with the largest load per replica so far
 *     pack        replicas, heaviest first, each onto the least loaded GPU with a free slot
 *     hierarchy   if `nodes` divides `groups`: pack groups onto nodes, then replicate and pack within each node
 *
 * Ties go to the lowest index. Computes in float32 like the original, so that near ties fall as they do there.
 */
export function placeByEplb(load: ArrayLike<number>, shape: PlacementShape): Int32Array {
  const { experts, gpus, slots } = shape;
  const nodes = isHierarchical(shape) ? shape.nodes : 1;
  const expertOfSlot = new Int32Array(slots);
  const expertsPerNode = experts / nodes;
  nodeExperts(load, shape).forEach((members, node) => {
    const nodeLoad = Float32Array.from({ length: expertsPerNode }, (_, i) => load[members[i]]);
    const placed = replicateAndPack(nodeLoad, slots / nodes, gpus / nodes);
    placed.forEach((member, slot) => {
      expertOfSlot[(node * slots) / nodes + slot] = members[member];
    });
  });
  return expertOfSlot;
}

/** Returns the experts of each node, in the balancer's order; one list of all experts if groups may be split. */
export function nodeExperts(load: ArrayLike<number>, shape: PlacementShape): Int32Array[] {
  const { experts } = shape;
  const [groups, nodes] = isHierarchical(shape) ? [shape.groups, shape.nodes] : [1, 1];
  const groupLoad = Float32Array.from(loadOfGroups(load, groups));
  return packEvenly(groupLoad, nodes).map((members) => expertsOfGroups(members, experts / groups));
}

function replicateAndPack(load: Float32Array, slots: number, gpus: number): number[] {
  const replicas = new Int32Array(load.length).fill(1);
  const expertOfReplica = Array.from(load.keys());
  for (let spare = load.length; spare < slots; spare++) {
    const heaviest = indexOfLargest(load, replicas);
    expertOfReplica.push(heaviest);
    replicas[heaviest] += 1;
  }
  const replicaLoad = Float32Array.from(expertOfReplica, (e) => load[e] / replicas[e]);
  return packEvenly(replicaLoad, gpus).flatMap((members) => members.map((replica) => expertOfReplica[replica]));
}

function indexOfLargest(load: Float32Array, replicas: Int32Array): number {
  let [found, most] = [0, Number.NEGATIVE_INFINITY];
  for (let e = 0; e < load.length; e++) {
    const share = Math.fround(load[e] / replicas[e]);
    if (share > most) [found, most] = [e, share];
  }
  return found;
}

/** Packs items into `packs` packs of equal size; returns the items of each pack in the order in which they came. */
function packEvenly(weight: Float32Array, packs: number): number[][] {
  const size = weight.length / packs;
  const order = Array.from(weight.keys());
  if (size === 1) return order.map((item) => [item]);
  order.sort((a, b) => weight[b] - weight[a] || a - b);
  const members: number[][] = Array.from({ length: packs }, () => []);
  const total = new Float32Array(packs);
  for (const item of order) {
    let idlest = -1;
    for (let pack = 0; pack < packs; pack++) {
      if (members[pack].length < size && (idlest < 0 || total[pack] < total[idlest])) idlest = pack;
    }
    members[idlest].push(item);
    total[idlest] += weight[item];
  }
  return members;
}
