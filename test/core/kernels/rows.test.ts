import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { float32, float64, int32, logitFamilies, normals, oddShapes } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();

function hashesOf(kernels: Kernels, values: number[], seed: number, tokens: number, experts: number): number[] {
  const hash = kernels.allocateInt32(tokens);
  kernels.hashRows(float32(kernels, values), seed, tokens, experts, hash);
  return Array.from(hash);
}

/** The definition with 64-bit integers: MurmurHash3's finaliser and a step of the golden ratio for each word. */
function hashByBigInt(row: number[], seed: number): number {
  const mask = 0xffffffffn;
  const view = new DataView(new ArrayBuffer(4));
  let hash = BigInt(seed) & mask;
  for (const value of row) {
    view.setFloat32(0, value);
    hash ^= BigInt(view.getUint32(0));
    hash = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & mask;
    hash = ((hash ^ (hash >> 13n)) * 0xc2b2ae35n) & mask;
    hash = ((hash ^ (hash >> 16n)) + 0x9e3779b9n) & mask;
  }
  return Number(BigInt.asIntN(32, hash));
}

describe("hashRows", () => {
  it("chains MurmurHash3's finaliser over the bits of each row, both implementations", () => {
    for (const { tokens, experts } of oddShapes) {
      const values = normals(tokens + experts, tokens * experts);
      for (const seed of [0, 1, 0x80000000, 0xffffffff]) {
        const expected = Array.from({ length: tokens }, (_, t) =>
          hashByBigInt(values.slice(t * experts, (t + 1) * experts), seed),
        );
        for (const kernels of [reference, wasm]) {
          expect(hashesOf(kernels, values, seed, tokens, experts)).toEqual(expected);
        }
      }
    }
  });

  it("tells 0 from −0, whose bits differ", () => {
    for (const kernels of [reference, wasm]) {
      const [positive, negative] = hashesOf(kernels, [0, -0], 7, 2, 1);
      expect(positive).not.toBe(negative);
    }
  });
});

describe("gatherRows", () => {
  it("copies rows of a table, some of them twice, both implementations", () => {
    for (const columns of [1, 3, 4, 7, 8, 19]) {
      const table = normals(columns, 5 * columns).map(Math.fround);
      const index = [4, 0, 0, 2, 4, 1];
      for (const kernels of [reference, wasm]) {
        const out = kernels.allocateFloat32(index.length * columns + 1).fill(Number.NaN);
        kernels.gatherRows(float32(kernels, table), int32(kernels, index), index.length, columns, out);
        const rows = index.flatMap((row) => table.slice(row * columns, (row + 1) * columns));
        expect(Array.from(out)).toEqual([...rows, Number.NaN]);
      }
    }
  });
});

describe("addOffsets", () => {
  for (const [family, make] of Object.entries(logitFamilies)) {
    it(`rounds the float64 sum once, both implementations: ${family}`, () => {
      for (const { tokens, experts } of oddShapes) {
        const values = make(tokens, experts);
        // Smaller than a unit of float32 next to most values, so that rounding the offset first would show.
        const offset = normals(experts, experts).map((x) => x / 3 + 1e-9);
        for (const kernels of [reference, wasm]) {
          const out = kernels.allocateFloat32(tokens * experts + 1).fill(99);
          kernels.addOffsets(float32(kernels, values), float64(kernels, offset), tokens, experts, out);
          const expected = values.map((value, i) => Math.fround(value + offset[i % experts]));
          expect(Array.from(out)).toEqual([...expected, 99]);
        }
      }
    });
  }
});
