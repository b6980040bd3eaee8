import { closeSync, openSync, writeSync } from "node:fs";
import { endianness } from "node:os";

/** NumPy aligns the data in its files to this many bytes. */
const alignment = 64;

/** NumPy's code of the elements that each array holds. */
const codes = { float32: "f4", int32: "i4" } as const;

/** Writes a `.npy` file in pieces, so that memory does not grow with it. */
export interface NpyWriter<Values extends Float32Array | Int32Array = Float32Array> {
  /**
   * Appends the first `count` values of `values`, or writes them at the `first`-th value of the shape. Throws `RangeError`
   * if the shape does not have room for them.
   */
  append(values: Values, count: number, first?: number): void;
  close(): void;
}

/**
 * Starts a `.npy` file (version 1.0, C order) of `shape`, e.g. `[steps, tokens, experts]`, replacing what is there; its elements
 * have 4 bytes, float32 by default.
 */
export function createNpyWriter(path: string, shape: readonly number[]): NpyWriter;
export function createNpyWriter(path: string, shape: readonly number[], type: "int32"): NpyWriter<Int32Array>;
export function createNpyWriter(
  path: string,
  shape: readonly number[],
  type: keyof typeof codes = "float32",
): NpyWriter<Float32Array | Int32Array> {
  const promised = shape.reduce((product, length) => product * length, 1);
  const descriptor = openSync(path, "w");
  let written = 0;
  const header = npyHeader(shape, codes[type]);
  writeFully(descriptor, header, 0);
  return {
    append(values, count, first = written) {
      written = first + count;
      if (written > promised) throw new RangeError(`${path}: ${written} values for the shape [${shape.join(", ")}]`);
      const bytes = new Uint8Array(values.buffer, values.byteOffset, count * values.BYTES_PER_ELEMENT);
      writeFully(descriptor, bytes, header.length + first * values.BYTES_PER_ELEMENT);
    },
    close: () => closeSync(descriptor),
  };
}

/** Writes all of `bytes` at `position`; the system may take fewer at once. */
function writeFully(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
}

function npyHeader(shape: readonly number[], code: string): Buffer {
  const order = endianness() === "LE" ? "<" : ">";
  // Python writes a tuple of one with a comma.
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  const text = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const prefixBytes = 10;
  const length = Math.ceil((prefixBytes + text.length + 1) / alignment) * alignment - prefixBytes;
  const header = Buffer.alloc(prefixBytes + length, " ");
  header.write("\x93NUMPY\x01\x00", "latin1");
  header.writeUInt16LE(length, 8);
  header.write(text, prefixBytes, "latin1");
  header.write("\n", header.length - 1, "latin1");
  return header;
}
