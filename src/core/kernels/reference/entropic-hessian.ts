export function entropicHessian(
  logits: Float32Array,
  epsilon: number,
  columnPotential: Float64Array,
  rowLogSum: Float64Array,
  threshold: number,
  tokens: number,
  experts: number,
  hessian: Float64Array,
): void {
  const mass = new Float64Array(experts);
  hessian.fill(0, 0, experts * experts);
  for (let t = 0; t < tokens; t++) {
    let sum = 0;
    for (let e = 0; e < experts; e++) {
      const p = Math.exp(logits[t * experts + e] / epsilon + columnPotential[e] - rowLogSum[t]);
      mass[e] = p >= threshold ? p : 0;
      sum += mass[e];
    }
    for (let i = 0; i < experts; i++) {
      // A row that keeps nothing has no sum to divide by.
      if (mass[i] === 0) continue;
      for (let j = 0; j < experts; j++) if (j !== i) hessian[i * experts + j] -= (mass[i] * mass[j]) / sum;
    }
  }
  for (let i = 0; i < experts; i++) {
    let sum = 0;
    for (let j = 0; j < experts; j++) sum -= hessian[i * experts + j];
    hessian[i * experts + i] = sum;
  }
}
