import { ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { storedNpy } from "../../../src/core/formats/npy.ts";
import {
  expectInputError,
  float32Npy,
  npyBytes,
  npyHeader,
  openArray,
  readAll,
  recordedFolder,
  throwsOnlyInputErrors,
  withFile,
} from "./recorded-files.ts";

const { folder, write } = recordedFolder();
const fixtures = join(import.meta.dirname, "../../fixtures/recorded");
const valuesOf: Readonly<Record<string, readonly number[]>> = {
  f2: [0, -1.5, 65_504, 2 ** -24],
  f4: [0, -1.5, 3e38, 2 ** -149],
  f8: [0, -1.5, 1e300, 0.1],
  i1: [0, -1, 127, -128],
  i2: [0, -1, 32_767, -32_768],
  i4: [0, -1, 2 ** 31 - 1, -(2 ** 31)],
  i8: [0, -1, 2 ** 53, -(2 ** 53)],
  u1: [0, 1, 127, 255],
  u2: [0, 1, 32_768, 65_535],
  u4: [0, 1, 2 ** 31, 2 ** 32 - 1],
  u8: [0, 1, 2 ** 32, 2 ** 53],
};

/** `values` as `code` stores them, through DataView, which knows nothing of the reader's tables. */
function encode(code: string, littleEndian: boolean, values: readonly number[]): Uint8Array {
  const bytes = Number(code[1]);
  const view = new DataView(new ArrayBuffer(bytes * values.length));
  values.forEach((value, i) => {
    const at = i * bytes;
    if (code === "f2") {
      const pattern = new Map([
        [0, 0x0000],
        [-1.5, 0xbe00],
        [65_504, 0x7bff],
        [2 ** -24, 0x0001],
      ]).get(value)!;
      view.setUint16(at, pattern, littleEndian);
    } else if (code === "f4") view.setFloat32(at, value, littleEndian);
    else if (code === "f8") view.setFloat64(at, value, littleEndian);
    else if (bytes === 1) view.setUint8(at, value);
    else if (bytes === 2) view.setUint16(at, value, littleEndian);
    else if (bytes === 4) view.setUint32(at, value, littleEndian);
    else view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), littleEndian);
  });
  return new Uint8Array(view.buffer);
}

describe("a vector of a .npy file", () => {
  const cases = Object.keys(valuesOf).flatMap((code) => ([1, 2, 3] as const).map((version) => ({ code, version })));
  test.each(cases)("reads $code in both byte orders, version $version.0", async ({ code, version }) => {
    for (const order of code[1] === "1" ? ["|", "<"] : ["<", ">"]) {
      const data = encode(code, order !== ">", valuesOf[code]);
      const path = write("typed.npy", npyBytes(npyHeader(order + code, [2, 2]), data, version));
      const reader = await openArray(path);
      expect(reader).toMatchObject({ shape: [2, 2], length: 4, kind: code[0] === "f" ? "float" : "integer" });
      const expected = code === "f4" ? valuesOf.f4.map(Math.fround) : valuesOf[code];
      expect(await readAll(reader, 1)).toEqual(expected);
    }
  });

  test.each([
    ["little-endian-float16-v1.npy", "float16", [2, 3, 4]],
    ["big-endian-float64-v2.npy", "float64", [6, 4]],
    ["big-endian-float32-v3.npy", "float32", [6, 4]],
  ])("reads %s as NumPy wrote it", async (name, dtype, shape) => {
    const reader = await openArray(join(fixtures, name));
    expect(reader).toMatchObject({ dtype, shape, length: 24 });
    const expected = Array.from({ length: 24 }, (_, i) => ((7 * Math.floor(i / 4) + 3 * (i % 4)) % 11) - 4.75);
    expect(await readAll(reader, 4)).toEqual(expected);
  });

  test("takes any dimensions, keys in any order and double quotes", async () => {
    const one = await openArray(write("one.npy", float32Npy([3], [1, 2, 3])));
    expect(one).toMatchObject({ shape: [3], length: 3 });
    await one.close();
    const header = '{"shape":(1,2,1),"descr":"<f4","fortran_order":False}';
    const three = await openArray(write("three.npy", npyBytes(header, new Uint8Array(8))));
    expect(three).toMatchObject({ shape: [1, 2, 1], length: 2 });
    await three.close();
  });

  test("gives back what was written, for any shape and any number of values at a time", async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.integer({ min: 1, max: 40 }), fc.integer(), async (shape, atOnce, start) => {
        const length = shape.reduce((product, each) => product * each, 1);
        const values = Array.from({ length }, (_, i) => Math.fround(start + i / 3));
        const reader = await openArray(write("any.npy", float32Npy(shape, values)));
        expect(await readAll(reader, atOnce)).toEqual(values);
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  test("reads numbers that straddle its buffer of 1 MiB", async () => {
    const [rows, columns] = [700, 1001];
    const values = Float32Array.from({ length: rows * columns }, (_, i) => i % 65_537);
    const path = write("wide.npy", npyBytes(npyHeader("<f4", [rows, columns]), new Uint8Array(values.buffer)));
    const reader = await openArray(path);
    const all = new Float64Array(rows * columns);
    const first = 400 * columns + 1;
    expect(await reader.read(all.subarray(0, first))).toBe(first);
    expect(await reader.read(all.subarray(first))).toBe(all.length - first);
    expect(await reader.read(new Float64Array(9))).toBe(0);
    await reader.close();
    const expected = Float64Array.from(values);
    expect(Buffer.compare(Buffer.from(all.buffer), Buffer.from(expected.buffer))).toBe(0);
  });

  test("reads a file of 2 GiB without its memory growing by 32 MiB", async () => {
    // A sparse file, so that the test does not fill the disk; an eighth is read, 256 MiB, so that it does not take long.
    const [steps, tokens, experts] = [2048, 1024, 256];
    const path = join(folder, "sparse.npy");
    const header = npyBytes(npyHeader("<f4", [steps, tokens, experts]), new Uint8Array());
    const descriptor = openSync(path, "w");
    writeSync(descriptor, header);
    ftruncateSync(descriptor, header.length + steps * tokens * experts * 4);
    const reader = await openArray(path);
    const batch = new Float64Array(tokens * experts);
    // The first batch brings the buffers and the compiled code into being.
    await reader.read(batch);
    const before = process.memoryUsage().rss;
    let most = before;
    for (let step = 1; step < steps / 8; step++) {
      expect(await reader.read(batch)).toBe(batch.length);
      if (step % 16 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    await reader.close();
    expect(most - before).toBeLessThan(32 * 2 ** 20);
  });
});

describe("a vector of a damaged .npy file", () => {
  const values = [1, 2, 3, 4, 5, 6];
  const valid = float32Npy([2, 3], values);

  test("refuses a file cut anywhere in its header or data", async () => {
    for (let length = 0; length < valid.length; length++) {
      const path = write("cut.npy", valid.subarray(0, length));
      await expectInputError(() => withFile(path, storedNpy), path, /truncated|not a \.npy/);
      await expectInputError(() => openArray(path), path);
    }
  });

  test("says how many bytes were promised and how many there are", async () => {
    const short = write("short.npy", valid.subarray(0, valid.length - 5));
    await expectInputError(
      () => openArray(short),
      short,
      "truncated",
      "float32 [2, 3]",
      "24 bytes",
      "but the file has 19",
    );
    const long = write("long.npy", Buffer.concat([valid, Buffer.alloc(7)]));
    await expectInputError(() => openArray(long), long, "7 bytes follow the data", "24 bytes", "but the file has 31");
  });

  test("notices when the file shrinks while it is read", async () => {
    const path = write("shrinking.npy", valid);
    const reader = await openArray(path);
    write("shrinking.npy", valid.subarray(0, valid.length - 12));
    await expectInputError(() => readAll(reader), path, "truncated");
  });

  test.each<[string, string, ...(string | RegExp)[]]>([
    ["a Fortran-ordered array", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran"],
    ["complex numbers", npyHeader("<c8", [2, 3]), "'<c8' is not supported", "f2, f4, f8, i1"],
    ["text", npyHeader("<U4", [2, 3]), "not supported"],
    ["objects", npyHeader("|O", [2, 3]), "not supported"],
    ["a property of Object as dtype", npyHeader("<constructor", [2, 3]), "not supported"],
    ["a missing byte order", npyHeader("|f4", [2, 3]), "byte order"],
    ["structured numbers", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "structured"],
    ["no dimensions but several numbers", npyHeader("<f4", []), "20 bytes follow the data"],
    ["a dimension of 0 but numbers", npyHeader("<f4", [0, 3]), "[0, 3]", "24 bytes follow the data"],
    ["more than the file holds", npyHeader("<f4", [2_000_000_000, 4096]), "truncated", "but the file has 24"],
    ["a product beyond 2^53", npyHeader("<f4", [2 ** 40, 2 ** 40]), "truncated", "but the file has 24"],
    [
      "a dimension beyond 2^53",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3), }",
      "malformed",
    ],
    ["a negative dimension", npyHeader("<f4", [-2, 3]), "malformed"],
    ["a fractional dimension", npyHeader("<f4", [1.5, 4]), "malformed"],
    ["a number in brackets", "{'descr': '<f4', 'fortran_order': False, 'shape': (6), }", "not a tuple"],
    ["a number with leading zeros", "{'descr': '<f4', 'fortran_order': False, 'shape': (02, 3), }", "malformed"],
    ["a number with underscores", "{'descr': '<f4', 'fortran_order': False, 'shape': (2_0, 3), }", "malformed"],
    ["a hexadecimal number", "{'descr': '<f4', 'fortran_order': False, 'shape': (0x2, 3), }", "malformed"],
    ["a shape that is a number", "{'descr': '<f4', 'fortran_order': False, 'shape': 6, }", "malformed"],
    ["a missing key", "{'descr': '<f4', 'shape': (2, 3), }", "descr, fortran_order and shape"],
    [
      "a key too many",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': True}",
      "descr, fortran_order",
    ],
    ["a key given twice", "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2, 3)}", "once each"],
    ["text after the dictionary", `${npyHeader("<f4", [2, 3])} x`, "text follows"],
    ["no dictionary", "[1, 2, 3]", "malformed"],
    ["nothing", "", "malformed"],
  ])("refuses %s", async (_, header, ...parts) => {
    const path = write("malformed.npy", npyBytes(header, new Uint8Array(24)));
    await expectInputError(() => openArray(path), path, ...parts);
  });

  test.each([[[0, 3]], [[2, 0]]])("refuses an array without numbers, %j", async (shape) => {
    const path = write("empty.npy", float32Npy(shape, []));
    await expectInputError(() => openArray(path), path, "empty stream");
  });

  test("refuses versions it does not know, and headers longer than allowed or than the file", async () => {
    const version = Buffer.from(valid);
    version[6] = 4;
    const unknown = write("version.npy", version);
    await expectInputError(() => openArray(unknown), unknown, "version 4.0", "1.0, 2.0 or 3.0");
    const huge = npyBytes(npyHeader("<f4", [2, 3]), new Uint8Array(24), 2);
    huge.writeUInt32LE(0xffff_ffff, 8);
    const path = write("huge.npy", huge);
    await expectInputError(() => openArray(path), path, "4294967295 bytes", "65536");
    huge.writeUInt32LE(60_000, 8);
    write("huge.npy", huge);
    await expectInputError(() => openArray(path), path, "truncated", "byte 60012");
  });

  test("answers flipped and random bytes with data or an InputError, never with another error", async () => {
    const flips = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(flips, fc.uint8Array({ maxLength: 200 })), async (damage) => {
        let bytes = Buffer.from(valid);
        if (damage instanceof Uint8Array) bytes = Buffer.concat([valid.subarray(0, 8), damage]);
        else for (const [at, byte] of damage) bytes[at] = byte;
        const path = write("damaged.npy", bytes);
        await throwsOnlyInputErrors(async () => readAll(await openArray(path)));
      }),
      { seed: 2, numRuns: 300 },
    );
  });
});
