import type { Assignment, RoutingShape } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";

/**
 * The assignment a router overwrites with every batch: `expert` and `gate` `[shape.tokens × shape.topK]`, `load`
 * `[experts]`. A batch with fewer tokens fills only the first `batch.tokens · topK` entries.
 */
export function createAssignmentBuffers(kernels: Kernels, shape: RoutingShape): Assignment {
  const pairs = shape.tokens * shape.topK;
  return {
    slots: shape.topK,
    expert: kernels.allocateInt32(pairs),
    gate: kernels.allocateFloat32(pairs),
    load: kernels.allocateInt32(shape.experts),
  };
}
