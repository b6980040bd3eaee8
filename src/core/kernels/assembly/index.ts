// The kernels of `../kernels.ts` over byte addresses in imported memory, as `../wasm.ts` calls them.

export { addNormal, fillNormal, normalScratch } from "./normal";
export { addOffsets } from "./offsets";
export { gatherRows } from "./gather";
export { hashRows } from "./hash";
export { columnsScratch, multiply, multiplyLeftTransposed, multiplyRightTransposed, multiplyScratch } from "./training/multiply";
export {
  combineRows,
  expertBackward,
  expertForward,
  expertScratch,
  rowProducts,
  scatterRows,
  sumRows,
} from "./training/experts";
export { crossEntropy, squaredError } from "./training/losses";
export { adam } from "./training/adam";
export { logSumExpRows, pairScores, sigmoidScores, softmaxScores, sqrtSoftplusScores } from "./scores";
export {
  addShares,
  logitAffinities,
  sharesScratch,
  sigmoidAffinities,
  softmaxAffinities,
  sqrtSoftplusAffinities,
} from "./affinities";
export { relaxedTopK, relaxedTopKScratch } from "./relaxed-topk";
export {
  columnCosts,
  rowThresholds,
  rowThresholdsScratch,
  sparseColumns,
  sparseColumnsScratch,
} from "./sparse-columns";
export { sparseRows, sparseRowsScratch } from "./sparse-rows";
export { selectScratch } from "./candidates";
export { planScratch, selectByPlan, selectTopK, selectTopKBiased } from "./select";
export { groupedScratch, selectGroupedTopK } from "./grouped";
export { leastLosses } from "./exchange";
export { loadGradient, loadGradientScratch } from "./load-gradient";
export {
  logitGates,
  normalisedSigmoidGates,
  normalisedSoftmaxGates,
  normalisedSqrtSoftplusGates,
  sigmoidGates,
  softmaxGates,
  sqrtSoftplusGates,
} from "./gates";
export { entropicPlan, gibbsSweep, logSinkhornSweep, rowScratch, sinkhornSweep } from "./sinkhorn";
export { entropicHessian, entropicHessianScratch } from "./entropic-hessian";
export { selectTokens, tokensScratch } from "./tokens";
export {
  columnQuantiles,
  priceQuantiles,
  priceQuantilesScratch,
  quantilesScratch,
  selectByPrice,
} from "./quantiles";

/** The first byte that belongs to the host. */
export function heapBase(): usize {
  return __heap_base;
}
