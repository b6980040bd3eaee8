import type { RoutingShape } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import type { TokenBatch } from "../../token-batch.ts";

/** Selects by an entropic plan without writing it down. */
export interface PlanSelection {
  /**
   * The K largest of each row of softmax(Z/ε + g), `expert` `[tokens × topK]` and `load` `[experts]` as from
   * `Kernels.selectTopK`. `columnPotential` is g `[experts]` in units of ε.
   */
  select(batch: TokenBatch, columnPotential: Float64Array, expert: Int32Array, load: Int32Array): void;
}

/** A row of the plan is ordered as Z/ε + g is, and so as Z + ε·g: a bias on the logits. */
export function createPlanSelection(kernels: Kernels, shape: RoutingShape, epsilon: number): PlanSelection {
  const { experts, topK } = shape;
  const bias = kernels.allocateFloat64(experts);
  return {
    select({ logits, tokens }, columnPotential, expert, load) {
      for (let e = 0; e < experts; e++) bias[e] = epsilon * columnPotential[e];
      kernels.selectTopK(logits, "logits", bias, tokens, experts, topK, expert, load);
    },
  };
}
