import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";
import type { Kernels } from "../kernels.ts";
import { exponentsOf, twoFloats } from "./exponents.ts";
import { writePlanGates } from "./gates.ts";
import { affinitiesOf, asGoodAsNegativeInfinity, matrixOf } from "./matrices.ts";

/**
 * Selection by `topk`, which on every backend gives ties to the lower index. Without a bias logits are compared, and the
 * choice is exact. With one the keys are counted from the row's largest down, where float32 is finest: the order of an
 * entropic plan rests on differences of Z + ε·g far below the rounding of Z.
 */
export function selectPrograms(tensors: Tensors): Pick<Kernels, "scores" | "selectTopK" | "selectByPlan"> {
  const { fill, greater, tidy, topk, where } = tensors;

  const selectTopK: Kernels["selectTopK"] = (logits, key, bias, tokens, experts, topK, expert, load) => {
    tidy(() => {
      const matrix = matrixOf(tensors, logits, tokens, experts);
      const affinities = bias === null || key === "logits" ? matrix : affinitiesOf(tensors, matrix, key);
      const keys =
        bias === null ? matrix : exponentsOf(tensors, affinities, twoFloats(tensors, bias, 1, experts), 1).exponent;
      const enabled = where<Tensor2D>(greater(matrix, asGoodAsNegativeInfinity), keys, fill(keys.shape, -Infinity));
      expert.set(topk(enabled, topK, true).indices.dataSync());
    });
    load.fill(0, 0, experts);
    for (let pair = 0; pair < tokens * topK; pair++) {
      if (logits[Math.floor(pair / topK) * experts + expert[pair]] < asGoodAsNegativeInfinity) expert[pair] = -1;
      else load[expert[pair]] += 1;
    }
  };

  return {
    scores(logits, kind, tokens, experts, scores) {
      tidy(() => {
        scores.set(affinitiesOf(tensors, matrixOf(tensors, logits, tokens, experts), kind).dataSync());
      });
    },

    selectTopK,

    selectByPlan(logits, columnPotential, epsilon, tokens, experts, topK, expert, load, gate) {
      const bias = columnPotential.map((potential) => epsilon * potential);
      selectTopK(logits, "logits", bias, tokens, experts, topK, expert, load);
      writePlanGates(tensors, logits, columnPotential, epsilon, expert, tokens, experts, topK, gate);
    },
  };
}
