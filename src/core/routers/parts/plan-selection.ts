import type { RoutingShape } from "../../assignment.ts";
import type { Kernels } from "../../kernels/kernels.ts";
import type { TokenBatch } from "../../token-batch.ts";
import type { EntropicSolution } from "../../transport/entropic/entropic-problem.ts";

/** Selects by an entropic plan without writing it down. */
export interface PlanSelection {
  /**
   * The K largest of each row of the plan softmax(Z/ε + g), `expert` `[tokens × topK]` and `load` `[experts]` as from
   * `Kernels.selectTopK`, and `gate` `[tokens × topK]`, the plan's entries divided by their sum. Entries
   * whose relative difference is below a millionth, or below the rounding error of g, are ties, which go to the lower
   * index.
   */
  select(
    batch: TokenBatch,
    solution: Pick<EntropicSolution, "columnPotential" | "potentialError">,
    expert: Int32Array,
    load: Int32Array,
    gate: Float32Array,
  ): void;
}

/** Smallest relative difference of two entries of a plan that are not tied; larger if g is less precise. */
const leastTieWidth = 1e-6;

export function createPlanSelection(kernels: Kernels, shape: RoutingShape, epsilon: number): PlanSelection {
  const { experts, topK } = shape;
  // The expert after the last selected one shows whether rounding decided the last one.
  const slots = Math.min(experts, topK + 1);
  const ranked = kernels.allocateInt32(shape.tokens * slots);
  const rankedLoad = kernels.allocateInt32(experts);
  // The entries of a row are in the order of Z/ε + g, and so of Z + ε·g: a bias on the logits.
  const bias = kernels.allocateFloat64(experts);
  const exponent = new Float64Array(experts);
  let tieWidth = leastTieWidth;

  function hasTie({ logits }: TokenBatch, token: number, columnPotential: Float64Array): boolean {
    let before = Number.POSITIVE_INFINITY;
    for (let slot = token * slots; slot < (token + 1) * slots; slot++) {
      const e = ranked[slot];
      if (e < 0) return false;
      const own = logits[token * experts + e] / epsilon + columnPotential[e];
      if (before - own < tieWidth) return true;
      before = own;
    }
    return false;
  }

  /** Orders the token's experts; those within {@link tieWidth} of their neighbours by index. */
  function orderOf({ logits }: TokenBatch, token: number, columnPotential: Float64Array): number[] {
    const order: number[] = [];
    for (let e = 0; e < experts; e++) {
      exponent[e] = logits[token * experts + e] / epsilon + columnPotential[e];
      if (exponent[e] !== Number.NEGATIVE_INFINITY) order.push(e);
    }
    order.sort((a, b) => exponent[b] - exponent[a] || a - b);
    for (let first = 0; first < order.length; ) {
      let end = first + 1;
      while (end < order.length && exponent[order[end - 1]] - exponent[order[end]] < tieWidth) end += 1;
      if (end > first + 1) order.splice(first, end - first, ...order.slice(first, end).sort((a, b) => a - b));
      first = end;
    }
    return order;
  }

  return {
    select(batch, { columnPotential, potentialError }, expert, load, gate) {
      const { logits, tokens } = batch;
      tieWidth = Math.max(leastTieWidth, 2 * potentialError);
      kernels.selectByPlan(logits, columnPotential, epsilon, tokens, experts, topK, expert, load, gate);
      for (let e = 0; e < experts; e++) bias[e] = epsilon * columnPotential[e];
      kernels.selectTopK(logits, "logits", bias, tokens, experts, slots, ranked, rankedLoad);
      for (let token = 0; token < tokens; token++) {
        if (!hasTie(batch, token, columnPotential)) continue;
        const order = orderOf(batch, token, columnPotential);
        const first = token * topK;
        const count = Math.min(topK, order.length);
        let sum = 0;
        for (let slot = 0; slot < count; slot++) sum += Math.exp(exponent[order[slot]] - exponent[order[0]]);
        for (let slot = 0; slot < count; slot++) {
          load[expert[first + slot]] -= 1;
          load[order[slot]] += 1;
          expert[first + slot] = order[slot];
          gate[first + slot] = Math.exp(exponent[order[slot]] - exponent[order[0]]) / sum;
        }
      }
    },
  };
}
