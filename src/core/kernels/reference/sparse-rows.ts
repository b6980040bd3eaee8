export function sparseRows(
  affinity: Float32Array,
  potential: Float64Array,
  gamma: number,
  tokens: number,
  experts: number,
  topK: number,
  expert: Int32Array,
  mass: Float64Array,
  columnSum: Float64Array,
): number {
  let total = 0;
  for (let t = 0; t < tokens; t++) {
    const values = Array.from({ length: experts }, (_, e) => affinity[t * experts + e] + potential[e]);
    const order = [...values.keys()].filter((e) => values[e] !== Number.NEGATIVE_INFINITY);
    const selected = order.sort((a, b) => values[b] - values[a] || a - b).slice(0, topK);
    expert.fill(-1, t * topK, (t + 1) * topK);
    mass.fill(0, t * topK, (t + 1) * topK);
    if (selected.length === 0) continue;
    const largest = values[selected[0]];
    const distances = selected.map((e) => values[e] - largest);
    // The projection on the simplex: τ of the longest prefix all of whose distances are above it.
    let sum = 0;
    let threshold = -gamma;
    for (let count = 1; count < distances.length && distances[count] > threshold; count++) {
      sum += distances[count];
      threshold = (sum - gamma) / (count + 1);
    }
    let [linear, squares] = [0, 0];
    selected.forEach((e, slot) => {
      const p = Math.max(0, distances[slot] - threshold) / gamma;
      expert[t * topK + slot] = e;
      mass[t * topK + slot] = p;
      columnSum[e] += p;
      linear += distances[slot] * p;
      squares += p * p;
    });
    total += largest + (linear - 0.5 * gamma * squares);
  }
  return total;
}
