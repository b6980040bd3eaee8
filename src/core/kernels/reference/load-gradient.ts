import { rowAffinities } from "./affinity.ts";

export function loadGradient(
  logits: Float32Array,
  load: Int32Array,
  tokens: number,
  experts: number,
  gradient: Float64Array,
): void {
  const probability = new Float64Array(experts);
  let pairs = 0;
  for (let e = 0; e < experts; e++) pairs += load[e];
  // The rows sum to 1, so that a constant taken from all loads changes nothing but the rounding.
  const mean = pairs / experts;
  gradient.fill(0, 0, experts);
  for (let row = 0; row < tokens * experts; row += experts) {
    rowAffinities(logits, row, experts, "softmax", probability);
    let expected = 0;
    for (let e = 0; e < experts; e++) expected += (load[e] - mean) * probability[e];
    for (let e = 0; e < experts; e++) gradient[e] += probability[e] * (load[e] - mean - expected);
  }
}
