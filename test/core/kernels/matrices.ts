import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";

/** A reproducible state for `fillNormal`. */
export function generatorState(seed: number): number[] {
  // Weyl steps through a multiplicative hash: any words will do, as long as they differ.
  return Array.from({ length: 16 }, (_, word) => Math.imul(seed * 16 + word + 1, 0x9e3779b1) >>> 0);
}

/** `length` standard normals, scaled. */
export function normals(seed: number, length: number, scale = 1): number[] {
  const reference = createReferenceKernels();
  const state = Uint32Array.from(generatorState(seed));
  const out = new Float32Array(length);
  reference.fillNormal(state, out, length);
  return Array.from(out, (value) => Math.fround(value * scale));
}

export function float32(kernels: Kernels, values: ArrayLike<number>): Float32Array {
  const array = kernels.allocateFloat32(values.length);
  array.set(values);
  return array;
}

export function float64(kernels: Kernels, values: ArrayLike<number>): Float64Array {
  const array = kernels.allocateFloat64(values.length);
  array.set(values);
  return array;
}

export function int32(kernels: Kernels, values: ArrayLike<number>): Int32Array {
  const array = kernels.allocateInt32(values.length);
  array.set(values);
  return array;
}

/** The largest |actual − expected| / (|expected| + floor). */
export function worstRelativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 0): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const size = Math.abs(expected[i]) + floor;
    const difference = Math.abs(actual[i] - expected[i]);
    // NaN anywhere must fail, and 0 against 0 is no error.
    if (!(difference === 0)) worst = Math.max(worst, Number.isNaN(difference) ? Infinity : difference / size);
  }
  return worst;
}

/** Sizes whose rows and columns fill no, one or many vectors, with and without a rest. */
export const oddShapes = [
  { tokens: 1, experts: 1 },
  { tokens: 1, experts: 7 },
  { tokens: 5, experts: 1 },
  { tokens: 9, experts: 2 },
  { tokens: 7, experts: 3 },
  { tokens: 8, experts: 4 },
  { tokens: 13, experts: 5 },
  { tokens: 17, experts: 19 },
  { tokens: 6, experts: 64 },
  { tokens: 10, experts: 67 },
  { tokens: 33, experts: 131 },
] as const;

/** Logits [tokens × experts] by name: the shapes of data that break kernels. */
export const logitFamilies: Record<string, (tokens: number, experts: number) => number[]> = {
  normal: (tokens, experts) => normals(tokens * 1000 + experts, tokens * experts),
  wide: (tokens, experts) => normals(tokens * 1000 + experts + 1, tokens * experts, 30),
  "offset by 1e4": (tokens, experts) => normals(tokens + experts, tokens * experts).map((z) => Math.fround(z + 1e4)),
  "offset by -1e4": (tokens, experts) => normals(tokens + experts, tokens * experts).map((z) => Math.fround(z - 1e4)),
  "±1e4": (tokens, experts) => normals(tokens + 3 * experts, tokens * experts).map((z) => (z > 0 ? 1e4 : -1e4)),
  "up to 3e38": (tokens, experts) => normals(tokens + 5 * experts, tokens * experts, 4e37),
  equal: (tokens, experts) => new Array<number>(tokens * experts).fill(2.5),
  zero: (tokens, experts) => Array.from({ length: tokens * experts }, (_, i) => (i % 2 === 0 ? 0 : -0)),
  quarters: (tokens, experts) => normals(tokens + 7 * experts, tokens * experts).map((z) => Math.round(z * 4) / 4),
  "around the underflow": (tokens, experts) => normals(tokens, tokens * experts, 60),
  "one ulp apart": (tokens, experts) =>
    normals(experts, tokens * experts).map((z) => Math.fround(1 + Math.round(z) * 2 ** -23)),
};

/** `logits` with every third entry −∞, nearly all of the second row and all of the third. */
export function disabledSome(logits: number[], experts: number): number[] {
  return logits.map((z, entry) => {
    const [row, column] = [Math.floor(entry / experts), entry % experts];
    const isDisabled = row === 2 || (row === 1 && column !== experts - 1) || (7 * row + 5 * column) % 3 === 0;
    return isDisabled ? Number.NEGATIVE_INFINITY : z;
  });
}
