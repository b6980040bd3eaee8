import { readFileSync } from "node:fs";

/**
 * The bytes of a `.npy` file (version 1.0) of `shape` with `values` as float32. `values` may be fewer than the shape
 * promises and `descriptor` another type, for files that must be refused.
 */
export function npyBytes(shape: readonly number[], values: ArrayLike<number>, descriptor = "<f4"): Buffer {
  const fields = `{'descr': '${descriptor}', 'fortran_order': False, 'shape': (${shape.join(", ")},), }`;
  const header = Buffer.from(`${fields.padEnd(117)}\n`, "latin1");
  const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]);
  return Buffer.concat([prefix, header, new Uint8Array(Float32Array.from(values).buffer)]);
}

/** Shape and values of a little-endian float32 `.npy` file of version 1.0. */
export function readNpy(file: string): { shape: number[]; values: Float32Array } {
  const { shape, buffer } = readArray(file, "<f4");
  return { shape, values: new Float32Array(buffer) };
}

/** Shape and values of a little-endian int32 `.npy` file of version 1.0. */
export function readIntegerNpy(file: string): { shape: number[]; values: Int32Array } {
  const { shape, buffer } = readArray(file, "<i4");
  return { shape, values: new Int32Array(buffer) };
}

function readArray(file: string, type: string): { shape: number[]; buffer: ArrayBuffer } {
  const bytes = readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, start);
  if (!header.includes(`'${type}'`)) throw new Error(`${file}: not ${type}: ${header}`);
  const shape = header
    .match(/'shape': \(([^)]*)\)/)![1]
    .split(",")
    .filter((part) => part.trim() !== "")
    .map(Number);
  return { shape, buffer: new Uint8Array(bytes.subarray(start)).buffer };
}
