import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { float32, normals } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();

function product(
  kernels: Kernels,
  left: number[],
  right: number[],
  start: number[] | null,
  [rows, inner, columns]: readonly [number, number, number],
): Float32Array {
  const out = float32(kernels, start ?? new Array<number>(rows * columns).fill(Number.NaN));
  const factors = [float32(kernels, left), float32(kernels, right)] as const;
  kernels.multiply(...factors, out, rows, inner, columns, start !== null);
  return out;
}

describe("multiply", () => {
  it("multiplies two small matrices, and adds to what is there when asked", () => {
    for (const kernels of [reference, wasm]) {
      const [left, right] = [
        [1, 2, 3, 4, 5, 6],
        [1, 0, 0, 1, 1, 1],
      ];
      expect(Array.from(product(kernels, left, right, null, [2, 3, 2]))).toEqual([4, 5, 10, 11]);
      expect(Array.from(product(kernels, left, right, [1, 1, 1, 1], [2, 3, 2]))).toEqual([5, 6, 11, 12]);
    }
  });

  it("agrees with the reference over odd sizes, those with more columns than are packed at a time included", () => {
    const shapes = [1, 3, 4, 9].flatMap((rows) =>
      [1, 2, 17, 64].flatMap((inner) =>
        [1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 31].map((columns) => [rows, inner, columns] as const),
      ),
    );
    for (const shape of [...shapes, [6, 700, 97], [5, 5000, 19]] as const) {
      const [rows, inner, columns] = shape;
      const left = normals(rows + inner, rows * inner);
      const right = normals(inner + columns, inner * columns);
      const start = normals(rows + columns, rows * columns);
      for (const from of [null, start]) {
        const actual = product(wasm, left, right, from, shape);
        const expected = product(reference, left, right, from, shape);
        const size = product(reference, left.map(Math.abs), right.map(Math.abs), start.map(Math.abs), shape);
        // The classical bound of a float32 sum of inner + 1 terms.
        for (let i = 0; i < actual.length; i++) {
          expect(Math.abs(actual[i] - expected[i])).toBeLessThanOrEqual((inner + 2) * 2 ** -24 * size[i]);
        }
      }
    }
  });
});
