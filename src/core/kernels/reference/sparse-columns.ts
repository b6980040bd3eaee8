export function sparseColumns(
  cost: Float64Array,
  alpha: Float64Array,
  beta: Float64Array,
  columnMass: number | null,
  gamma: number,
  tokens: number,
  experts: number,
  maxTokens: number,
  _near: Float64Array,
  count: Int32Array,
  token: Int32Array,
  mass: Float64Array,
  slackSum: Float64Array,
  slackSquares: Float64Array,
  rowSum: Float64Array,
): void {
  for (let e = 0; e < experts; e++) {
    const values = Array.from({ length: tokens }, (_, t) => alpha[t] - cost[e * tokens + t]);
    const floor = columnMass === null ? -beta[e] : Number.NEGATIVE_INFINITY;
    const order = [...values.keys()].filter((t) => values[t] > floor).sort((a, b) => values[b] - values[a] || a - b);
    const selected = order.slice(0, maxTokens).sort((a, b) => a - b);
    if (columnMass !== null) {
      const inside = selected.map((t) => values[t]);
      beta[e] = -simplexThreshold(inside, gamma * columnMass);
    }
    count[e] = 0;
    slackSum[e] = 0;
    slackSquares[e] = 0;
    for (const t of selected) {
      const slack = values[t] + beta[e];
      if (slack <= 0) continue;
      const at = e * maxTokens + count[e]++;
      token[at] = t;
      mass[at] = slack / gamma;
      rowSum[t] += slack / gamma;
      slackSum[e] += slack;
      slackSquares[e] += slack * slack;
    }
  }
}

/** Michelot 1986: τ of all values, without those that are not above it, until all are. */
function simplexThreshold(values: readonly number[], mass: number): number {
  const threshold = (values.reduce((sum, value) => sum + value, 0) - mass) / values.length;
  const above = values.filter((value) => value > threshold);
  return above.length === values.length || above.length === 0 ? threshold : simplexThreshold(above, mass);
}

export function columnCosts(
  affinity: Float32Array,
  tokens: number,
  experts: number,
  cost: Float64Array,
  largest: Float64Array,
): void {
  for (let t = 0; t < tokens; t++) {
    const row = affinity.subarray(t * experts, (t + 1) * experts);
    largest[t] = Math.max(...row);
    row.forEach((own, e) => {
      cost[e * tokens + t] = largest[t] - own;
    });
  }
}

export function rowThresholds(
  affinity: Float32Array,
  shift: Float64Array,
  mass: number,
  tokens: number,
  experts: number,
  threshold: Float64Array,
): void {
  for (let t = 0; t < tokens; t++) {
    const row = affinity.subarray(t * experts, (t + 1) * experts);
    threshold[t] = simplexThreshold(
      Array.from(row, (own) => own + shift[t]),
      mass,
    );
  }
}
