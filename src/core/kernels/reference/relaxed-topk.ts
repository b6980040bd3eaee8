/** Σ_e clip((v_e − τ)/width + ½, 0, 1). */
function relaxedSum(values: Float64Array, width: number, threshold: number): number {
  let sum = 0;
  for (const value of values) sum += Math.min(1, Math.max(0, (value - threshold) / width + 0.5));
  return sum;
}

/**
 * The largest τ at which that sum is `topK`, by interpolation between two neighbours among the points v ± width/2 where
 * the sum, which falls as τ grows, has its corners.
 */
function rootOf(values: Float64Array, width: number, topK: number): number {
  const corner = Float64Array.from([...values].flatMap((value) => [value - width / 2, value + width / 2])).sort();
  if (topK === values.length) return corner[0];
  let low = 0;
  let high = corner.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (relaxedSum(values, width, corner[middle]) >= topK) low = middle;
    else high = middle;
  }
  const above = relaxedSum(values, width, corner[low]) - topK;
  const below = topK - relaxedSum(values, width, corner[high]);
  return corner[low] + (above / (above + below)) * (corner[high] - corner[low]);
}

export function relaxedTopK(
  scores: Float64Array,
  price: Float64Array,
  width: number,
  floor: number,
  tokens: number,
  experts: number,
  topK: number,
  threshold: Float64Array,
  mass: Float64Array,
  curvature: Float64Array | null,
): number {
  const values = new Float64Array(experts);
  let total = 0;
  for (let t = 0; t < tokens; t++) {
    for (let e = 0; e < experts; e++) values[e] = scores[t * experts + e] - price[e];
    if (width === 0) {
      const order = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);
      threshold[t] = Math.max(floor, values[order[topK - 1]]);
      for (const e of order.slice(0, topK)) {
        if (values[e] <= floor) continue;
        mass[e] += 1;
        total += values[e];
      }
      continue;
    }
    threshold[t] = Math.max(floor, rootOf(values, width, topK));
    // By its dual, which has its minimum at τ, the value hardly feels τ's rounding.
    total += topK * threshold[t];
    const between: number[] = [];
    values.forEach((value, e) => {
      const x = Math.min(1, Math.max(0, (value - threshold[t]) / width + 0.5));
      mass[e] += x;
      total += x * (value - threshold[t] + (width / 2) * (1 - x));
      if (x > 0 && x < 1) between.push(e);
    });
    if (curvature === null) continue;
    for (const e of between) {
      curvature[e * experts + e] += 1 / width;
      if (threshold[t] === floor) continue;
      for (const other of between) curvature[e * experts + other] -= 1 / width / between.length;
    }
  }
  return total;
}
