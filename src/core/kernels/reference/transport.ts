import { largestOf, sumExp } from "./affinity.ts";

export function gibbsSweep(
  logits: Float32Array,
  epsilon: number,
  tokens: number,
  experts: number,
  gibbs: Float32Array,
  columnSum: Float64Array,
): number {
  let range = 0;
  for (let row = 0; row < tokens * experts; row += experts) {
    const largest = largestOf(logits, row, experts);
    for (let entry = row; entry < row + experts; entry++) {
      const exponent = (logits[entry] - largest) / epsilon;
      gibbs[entry] = Math.exp(exponent);
      range = Math.max(range, -exponent);
    }
  }
  sinkhornSweep(gibbs, new Float32Array(experts).fill(1), tokens, experts, columnSum);
  return range;
}

export function sinkhornSweep(
  gibbs: Float32Array,
  columnScaling: Float32Array,
  tokens: number,
  experts: number,
  columnSum: Float64Array,
): void {
  columnSum.fill(0, 0, experts);
  for (let row = 0; row < tokens * experts; row += experts) {
    let rowSum = 0;
    for (let e = 0; e < experts; e++) rowSum += gibbs[row + e] * columnScaling[e];
    for (let e = 0; e < experts; e++) columnSum[e] += (gibbs[row + e] * columnScaling[e]) / rowSum;
  }
}

/** Writes logits/epsilon + columnPotential of one row into `exponent` `[experts]`. */
function rowExponents(
  logits: Float32Array,
  row: number,
  epsilon: number,
  columnPotential: Float64Array,
  exponent: Float64Array,
): void {
  for (let e = 0; e < exponent.length; e++) exponent[e] = logits[row + e] / epsilon + columnPotential[e];
}

export function logSinkhornSweep(
  logits: Float32Array,
  epsilon: number,
  columnPotential: Float64Array,
  tokens: number,
  experts: number,
  rowLogSum: Float64Array,
  logColumnSum: Float64Array,
): void {
  const exponent = new Float64Array(experts);
  const columnMax = new Float64Array(experts).fill(Number.NEGATIVE_INFINITY);
  for (let t = 0; t < tokens; t++) {
    rowExponents(logits, t * experts, epsilon, columnPotential, exponent);
    const largest = largestOf(exponent, 0, experts);
    rowLogSum[t] = largest + Math.log(sumExp(exponent, 0, experts, largest));
    for (let e = 0; e < experts; e++) columnMax[e] = Math.max(columnMax[e], exponent[e] - rowLogSum[t]);
  }
  const columnSum = new Float64Array(experts);
  for (let t = 0; t < tokens; t++) {
    rowExponents(logits, t * experts, epsilon, columnPotential, exponent);
    for (let e = 0; e < experts; e++) columnSum[e] += Math.exp(exponent[e] - rowLogSum[t] - columnMax[e]);
  }
  // A column of −∞ alone has NaN for a sum.
  const none = Number.NEGATIVE_INFINITY;
  for (let e = 0; e < experts; e++) {
    logColumnSum[e] = columnMax[e] === none ? none : columnMax[e] + Math.log(columnSum[e]);
  }
}

export function entropicPlan(
  logits: Float32Array,
  columnPotential: Float64Array,
  epsilon: number,
  tokens: number,
  experts: number,
  out: Float32Array,
): void {
  const exponent = new Float64Array(experts);
  for (let row = 0; row < tokens * experts; row += experts) {
    rowExponents(logits, row, epsilon, columnPotential, exponent);
    const largest = largestOf(exponent, 0, experts);
    const sum = sumExp(exponent, 0, experts, largest);
    for (let e = 0; e < experts; e++) out[row + e] = Math.exp(exponent[e] - largest) / sum;
  }
}
