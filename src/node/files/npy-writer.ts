import { closeSync, openSync, writeFileSync } from "node:fs";
import { endianness } from "node:os";

/** NumPy aligns the data in its files to this many bytes. */
const alignment = 64;

/** Writes a float32 `.npy` file from front to back, so that memory does not grow with it. */
export interface NpyWriter {
  /** Appends the first `count` values of `values`. Throws `RangeError` if the shape does not have room for them. */
  append(values: Float32Array, count: number): void;
  close(): void;
}

/** Starts a `.npy` file (version 1.0, C order) of `shape`, e.g. `[steps, tokens, experts]`, replacing what is there. */
export function createNpyWriter(path: string, shape: readonly number[]): NpyWriter {
  const promised = shape.reduce((product, length) => product * length, 1);
  const descriptor = openSync(path, "w");
  let written = 0;
  writeFileSync(descriptor, npyHeader(shape));
  return {
    append(values, count) {
      written += count;
      if (written > promised) throw new RangeError(`${path}: ${written} values for the shape [${shape.join(", ")}]`);
      writeFileSync(
        descriptor,
        new Uint8Array(values.buffer, values.byteOffset, count * Float32Array.BYTES_PER_ELEMENT),
      );
    },
    close: () => closeSync(descriptor),
  };
}

function npyHeader(shape: readonly number[]): Buffer {
  const order = endianness() === "LE" ? "<" : ">";
  // Python writes a tuple of one with a comma.
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  const text = `{'descr': '${order}f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  const prefixBytes = 10;
  const length = Math.ceil((prefixBytes + text.length + 1) / alignment) * alignment - prefixBytes;
  const header = Buffer.alloc(prefixBytes + length, " ");
  header.write("\x93NUMPY\x01\x00", "latin1");
  header.writeUInt16LE(length, 8);
  header.write(text, prefixBytes, "latin1");
  header.write("\n", header.length - 1, "latin1");
  return header;
}
