import type { Kernels } from "./kernels.ts";
import { addShares, affinities, largestOf, rowAffinities, sumExp } from "./reference/affinity.ts";
import { entropicHessian } from "./reference/entropic-hessian.ts";
import { leastLosses } from "./reference/exchange.ts";
import { gates, pairScores, selectByPlan } from "./reference/gates.ts";
import { loadGradient } from "./reference/load-gradient.ts";
import { addNormal, fillNormal } from "./reference/normal.ts";
import { columnQuantiles, priceQuantiles, selectByPrice } from "./reference/quantiles.ts";
import { relaxedTopK } from "./reference/relaxed-topk.ts";
import { addOffsets, gatherRows, hashRows } from "./reference/rows.ts";
import { selectGroupedTopK, selectTokens, selectTopK } from "./reference/select.ts";
import { columnCosts, rowThresholds, sparseColumns } from "./reference/sparse-columns.ts";
import { sparseRows } from "./reference/sparse-rows.ts";
import { trainingKernels } from "./reference/training.ts";
import { entropicPlan, gibbsSweep, logSinkhornSweep, sinkhornSweep } from "./reference/transport.ts";

/**
 * The kernels in plain TypeScript, each the shortest correct way to compute its result: float64 throughout, rounded
 * once where the output is float32. The truth that the WebAssembly kernels are held to, and slower by one or two orders
 * of magnitude; unlike those it may allocate and takes any typed array.
 */
export function createReferenceKernels(): Kernels {
  return {
    backend: "reference",
    allocateFloat32: (length) => new Float32Array(length),
    allocateFloat64: (length) => new Float64Array(length),
    allocateInt32: (length) => new Int32Array(length),
    allocateUint32: (length) => new Uint32Array(length),

    fillNormal,
    addNormal,
    addOffsets,
    gatherRows,
    hashRows,

    multiply(left, right, out, rows, inner, columns, accumulate) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let sum = accumulate ? out[row * columns + column] : 0;
          for (let i = 0; i < inner; i++) sum += left[row * inner + i] * right[i * columns + column];
          out[row * columns + column] = sum;
        }
      }
    },

    ...trainingKernels,

    scores(logits, kind, tokens, experts, scores) {
      const affinity = new Float64Array(experts);
      for (let row = 0; row < tokens * experts; row += experts) {
        rowAffinities(logits, row, experts, kind, affinity);
        scores.set(affinity, row);
      }
    },

    affinities,
    addShares,
    relaxedTopK,
    sparseColumns,
    columnCosts,
    rowThresholds,
    sparseRows,

    logSumExpRows(logits, tokens, experts, out) {
      for (let t = 0; t < tokens; t++) {
        const largest = largestOf(logits, t * experts, experts);
        const isEmpty = largest === Number.NEGATIVE_INFINITY;
        out[t] = isEmpty ? largest : largest + Math.log(sumExp(logits, t * experts, experts, largest));
      }
    },

    selectTopK,
    selectGroupedTopK,
    loadGradient,
    gates,
    selectByPlan,
    gibbsSweep,
    sinkhornSweep,
    logSinkhornSweep,
    entropicPlan,
    entropicHessian,
    selectTokens,

    columnQuantiles,
    selectByPrice,
    priceQuantiles,

    pairScores,
    leastLosses,
  };
}
