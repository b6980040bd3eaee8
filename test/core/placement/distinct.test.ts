import fc from "fast-check";
import { expect, it } from "vitest";
import { distinctProblem, findSecondReplica, separateReplicas } from "../../../src/core/placement/distinct.ts";
import { placeByEplb } from "../../../src/core/placement/eplb.ts";
import {
  isHierarchical,
  type PlacementShape,
  placeContiguously,
  placedLoad,
  replicaCounts,
  shapeProblem,
} from "../../../src/core/placement/placement.ts";

function gpuLoads(load: ArrayLike<number>, placed: Int32Array, gpus: number): number[] {
  return Array.from(placedLoad(load, placed, replicaCounts(placed, load.length), new Float64Array(gpus)));
}

const flat = { nodes: 1, groups: 1 };

it("moves a second replica to the GPU where it costs least", () => {
  const shape = { experts: 4, gpus: 3, slots: 6, ...flat };
  const load = [8, 4, 3, 2];
  // Expert 0 has 8/3 in each slot. Swapped with expert 3, GPU 0 has 4.67 and GPU 2 5.67; with 2, 5.67 and 4.67; descent has nothing to add.
  const placed = separateReplicas(load, Int32Array.of(0, 0, 1, 0, 2, 3), shape);
  expect(findSecondReplica(placed, 3)).toBeNull();
  expect(Array.from(replicaCounts(placed, 4))).toEqual([3, 1, 1, 1]);
  expect(Math.max(...gpuLoads(load, placed, 3))).toBeCloseTo(4 + 8 / 3, 9);
});

it("replaces replicas if an expert has more than there are GPUs", () => {
  const shape = { experts: 4, gpus: 2, slots: 6, ...flat };
  const placed = separateReplicas([100, 3, 2, 1], Int32Array.of(0, 0, 1, 0, 2, 3), shape);
  expect(findSecondReplica(placed, 2)).toBeNull();
  // The heaviest expert that GPU 0 lacks takes the slot: expert 2, and then descent may swap.
  expect(Array.from(replicaCounts(placed, 4))).toEqual([2, 1, 2, 1]);
});

it("leaves alone what is distinct and cannot be improved by a swap", () => {
  const shape = { experts: 4, gpus: 2, slots: 4, ...flat };
  expect(Array.from(separateReplicas([4, 3, 2, 1], Int32Array.of(0, 3, 1, 2), shape))).toEqual([0, 3, 1, 2]);
});

it("finds the GPU that holds an expert twice", () => {
  expect(findSecondReplica(Int32Array.of(0, 1, 2, 2), 2)).toEqual({ gpu: 1, expert: 2 });
  expect(findSecondReplica(Int32Array.of(0, 1, 1, 0), 2)).toBeNull();
});

it("says when there cannot be distinct experts", () => {
  expect(distinctProblem({ experts: 3, gpus: 2, slots: 6, ...flat })).toBeNull();
  expect(distinctProblem({ experts: 3, gpus: 2, slots: 8, ...flat })).toBe(
    "4 slots per GPU for 3 experts; give at most 6, so that no GPU holds an expert twice",
  );
  expect(distinctProblem({ experts: 4, gpus: 2, slots: 6, nodes: 2, groups: 2 })).toContain(
    "3 slots per GPU for 2 experts",
  );
});

const problems = fc
  .record({
    nodes: fc.integer({ min: 1, max: 3 }),
    gpusPerNode: fc.integer({ min: 1, max: 4 }),
    slotsPerGpu: fc.integer({ min: 1, max: 5 }),
    groupSize: fc.integer({ min: 1, max: 5 }),
    isUneven: fc.boolean(),
  })
  .map(({ nodes, gpusPerNode, slotsPerGpu, groupSize, isUneven }): PlacementShape => {
    const gpus = nodes * gpusPerNode;
    return { experts: nodes * groupSize, gpus, slots: gpus * slotsPerGpu, nodes, groups: isUneven ? 1 : nodes };
  })
  .filter((shape) => shapeProblem(shape) === null && distinctProblem(shape) === null)
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      load: fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: shape.experts, maxLength: shape.experts }),
    }),
  );

it("gives every expert a slot, none twice on a GPU, and keeps groups on their nodes, for any shape", () => {
  fc.assert(
    fc.property(problems, fc.boolean(), ({ shape, load }, isInOrder) => {
      const { experts, gpus, slots, nodes } = shape;
      const before = isInOrder && !isHierarchical(shape) ? placeContiguously(shape) : placeByEplb(load, shape);
      const placed = separateReplicas(load, before, shape);
      expect(findSecondReplica(placed, gpus)).toBeNull();
      expect(new Set(placed).size).toBe(experts);
      if (findSecondReplica(before, gpus) === null) {
        expect(Math.max(...gpuLoads(load, placed, gpus))).toBeLessThanOrEqual(
          Math.max(...gpuLoads(load, before, gpus)) * (1 + 1e-12),
        );
      }
      if (!isHierarchical(shape)) return;
      for (let node = 0; node < nodes; node++) {
        const [first, end] = [(node * slots) / nodes, ((node + 1) * slots) / nodes];
        expect(new Set(placed.subarray(first, end))).toEqual(new Set(before.subarray(first, end)));
      }
    }),
    { numRuns: 300 },
  );
});
