import type { RandomSource } from "../core/random.ts";
import type { Kernels } from "../kernels/kernels.ts";

/** Fills `out[0, length)` with the next independent standard normals. `out` belongs to the kernels. */
export type NormalSource = (out: Float32Array, length: number) => void;

const stateWords = 16;

/** Standard normals in bulk, from the kernels' generator seeded with 16 words of `random`. */
export function createNormalSource(kernels: Kernels, random: RandomSource): NormalSource {
  const state = kernels.allocateUint32(stateWords);
  for (let word = 0; word < stateWords; word++) state[word] = random.uint32();
  return (out, length) => kernels.fillNormal(state, out, length);
}

/**
 * Standard normals `[rows × columns]`, drawn row by row, so that the first rows are the same however many follow. The
 * returned function overwrites `out`, of any memory, with the next rows.
 */
export function createNormalRows(
  kernels: Kernels,
  random: RandomSource,
  rows: number,
  columns: number,
): (out: Float32Array) => void {
  const fill = createNormalSource(kernels, random);
  const row = kernels.allocateFloat32(columns);
  return (out) => {
    for (let r = 0; r < rows; r++) {
      fill(row, columns);
      out.set(row, r * columns);
    }
  };
}

/** Logits Z[t, e] = mean[e] + deviation · ξ, in place of the standard normals ξ that `logits` `[tokens × experts]` holds. */
export function shiftRows(
  logits: Float32Array,
  mean: ArrayLike<number>,
  deviation: number,
  tokens: number,
  experts: number,
): void {
  for (let row = 0; row < tokens * experts; row += experts) {
    for (let e = 0; e < experts; e++) logits[row + e] = mean[e] + deviation * logits[row + e];
  }
}
