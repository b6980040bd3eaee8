export function leastLosses(
  joining: Float64Array,
  held: Float64Array,
  first: number,
  next: Int32Array,
  topK: number,
  experts: number,
  loss: Float64Array,
  mover: Int32Array,
): void {
  loss.fill(Number.POSITIVE_INFINITY, 0, experts + 1);
  mover.fill(-1, 0, experts + 1);
  for (let pair = first; pair >= 0; pair = next[pair]) {
    const row = Math.floor(pair / topK) * experts;
    for (let e = 0; e <= experts; e++) {
      const lost = held[pair] - (e === experts ? 0 : joining[row + e]);
      if (lost >= loss[e]) continue;
      loss[e] = lost;
      mover[e] = pair;
    }
  }
}
