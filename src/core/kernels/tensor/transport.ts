import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";
import type { Kernels } from "../kernels.ts";
import { exponentsOf, twoFloats } from "./exponents.ts";
import { matrixOf, reduceColumns } from "./matrices.ts";

/** Sinkhorn's sweeps, and the plan they lead to. */
export function transportPrograms(
  tensors: Tensors,
): Pick<Kernels, "gibbsSweep" | "sinkhornSweep" | "logSinkhornSweep" | "entropicPlan"> {
  const { div, exp, logSumExp, max, min, mul, softmax, sub, sum, tidy } = tensors;

  /** Makes the rows of `weights` sum to 1 and writes what the columns then sum to. */
  function sweep(weights: Tensor2D, columnSum: Float64Array): void {
    reduceColumns(tensors, "sum", div(weights, sum(weights, 1, true)), columnSum);
  }

  return {
    gibbsSweep(logits, epsilon, tokens, experts, gibbs, columnSum) {
      return tidy(() => {
        const matrix = matrixOf(tensors, logits, tokens, experts);
        const largest = max(matrix, 1, true);
        const range = max(sub(largest, min(matrix, 1, true))).dataSync()[0] / epsilon;
        const entries = exp<Tensor2D>(div(sub(matrix, largest), epsilon));
        gibbs.set(entries.dataSync());
        sweep(entries, columnSum);
        return range;
      });
    },

    sinkhornSweep(gibbs, columnScaling, tokens, experts, columnSum) {
      tidy(() => {
        const entries = matrixOf(tensors, gibbs, tokens, experts);
        sweep(mul(entries, matrixOf(tensors, columnScaling, 1, experts)), columnSum);
      });
    },

    logSinkhornSweep(logits, epsilon, columnPotential, tokens, experts, rowLogSum, logColumnSum) {
      tidy(() => {
        const matrix = matrixOf(tensors, logits, tokens, experts);
        const offset = twoFloats(tensors, columnPotential, 1, experts, epsilon);
        const { shift, exponent } = exponentsOf(tensors, matrix, offset, epsilon);
        const rowSum = logSumExp(exponent, 1, true);
        const [shifts, rowSums] = [shift.dataSync(), rowSum.dataSync()];
        for (let t = 0; t < tokens; t++) rowLogSum[t] = shifts[t] / epsilon + rowSums[t];

        const logPlan = sub<Tensor2D>(exponent, rowSum);
        reduceColumns(tensors, "max", logPlan, logColumnSum);
        const largest = Float32Array.from(logColumnSum.subarray(0, experts));
        reduceColumns(tensors, "sum", exp(sub(logPlan, matrixOf(tensors, largest, 1, experts))), logColumnSum);
        for (let e = 0; e < experts; e++) logColumnSum[e] = largest[e] + Math.log(logColumnSum[e]);
      });
    },

    entropicPlan(logits, columnPotential, epsilon, tokens, experts, out) {
      tidy(() => {
        const matrix = matrixOf(tensors, logits, tokens, experts);
        const offset = twoFloats(tensors, columnPotential, 1, experts, epsilon);
        out.set(softmax(exponentsOf(tensors, matrix, offset, epsilon).exponent).dataSync());
      });
    },
  };
}
