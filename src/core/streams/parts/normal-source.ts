import type { Kernels } from "../../kernels/kernels.ts";
import type { RandomSource } from "../../random.ts";

/** Fills `out[0, length)` with the next independent standard normals. `out` belongs to the kernels. */
export type NormalSource = (out: Float32Array, length: number) => void;

const stateWords = 16;

/** Returns a bulk source of standard normals: the kernels' generator, seeded with 16 words of `random`. */
function createNormalSource(kernels: Kernels, random: RandomSource): NormalSource {
  const state = createNormalState(kernels, random);
  return (out, length) => kernels.fillNormal(state, out, length);
}

/** State of the kernels' generator of normals, seeded by `random`. Its next numbers depend on nothing else. */
export function createNormalState(kernels: Kernels, random: RandomSource): Uint32Array {
  const state = kernels.allocateUint32(stateWords);
  for (let word = 0; word < stateWords; word++) state[word] = random.uint32();
  return state;
}

/** Adds `deviation` times the next independent standard normals to `values[0, length)`, which belongs to the kernels. */
export type NoiseSource = (values: Float32Array, deviation: number, length: number) => void;

/** Returns a bulk source of noise: the kernels' generator, seeded with 16 words of `random`. */
export function createNoiseSource(kernels: Kernels, random: RandomSource): NoiseSource {
  const state = createNormalState(kernels, random);
  return (values, deviation, length) => kernels.addNormal(state, values, deviation, length, values);
}

/**
 * Standard normals `[rows × columns]`, drawn row by row, so the first rows do not depend on how many follow. The
 * returned function overwrites `out`, in any memory, with the next rows.
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

/** Writes `row` `[columns]` into every row of `out` `[rows × columns]`. */
export function repeatRow(row: Float32Array, out: Float32Array, rows: number): void {
  const length = rows * row.length;
  out.set(row);
  for (let filled = row.length; filled < length; filled *= 2) {
    out.copyWithin(filled, 0, Math.min(filled, length - filled));
  }
}
