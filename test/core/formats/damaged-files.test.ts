import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import path from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import seedrandom from "seedrandom";
import { describe, expect, it } from "vitest";
import { openRegularFile, readSmallFile } from "../../../src/node/files/input-file.ts";
import { projectPath } from "../../support/program.ts";
import {
  expectInputError,
  float32Npy,
  npyBytes,
  npyHeader,
  openArray,
  recordedFolder,
  safetensorsBytes,
  throwsOnlyInputErrors,
} from "./recorded-files.ts";

const { folder, write } = recordedFolder();
const fixture = (...parts: string[]) => readFileSync(projectPath("test/fixtures", ...parts));

/** Damaged files of each kind; MOESIM_DAMAGED=5000 tries more than the quick tests can. */
const damagedFiles = Number(process.env.MOESIM_DAMAGED ?? 100);
/** The most that one file may take, and all of them together beyond what the tests take. */
const [mostMs, mostBytes] = [2000, 512 * 2 ** 20];

const values = Array.from({ length: 96 }, (_, i) => ((7 * i) % 11) - 4.75);
const tensors = { a: { dtype: "F32", shape: [8, 6], data_offsets: [0, 192] } };
const integers = (i: number) => Int32Array.from({ length: 200 }, (_, row) => (row * row + i) % 7);
const integerColumns = [0, 1].map((i) => ({ name: `slot_${i}`, data: integers(i), type: "INT32" as const }));

/** A valid file of each format and of each way in which Parquet lays numbers down. */
const validFiles: readonly (readonly [string, Buffer])[] = [
  ["float32.npy", float32Npy([4, 4, 6], values)],
  ["int64.npy", npyBytes(npyHeader(">i8", [12, 4]), new Uint8Array(12 * 4 * 8))],
  ["float16-v2.npy", npyBytes(npyHeader("<f2", [12, 4]), new Uint8Array(12 * 4 * 2), 2)],
  ["plain.csv", Buffer.from(`a,b,c\n${Array.from({ length: 32 }, (_, i) => `${i},-1e-3,"${i / 7}"`).join("\n")}\n`)],
  ["one.safetensors", safetensorsBytes({ __metadata__: { by: "test" }, ...tensors }, Buffer.alloc(192, 1))],
  ["columns.parquet", Buffer.from(parquetWriteBuffer({ columnData: integerColumns, rowGroupSize: 50, pageSize: 64 }))],
  ["lists-zstd-v1.parquet", fixture("recorded/lists-zstd-v1.parquet")],
  ["lists-float16-v2.parquet", fixture("recorded/lists-float16-v2.parquet")],
  ["columns-dictionary-snappy.parquet", fixture("recorded/columns-dictionary-snappy.parquet")],
];

/** One to three injuries: flipped bits, lost or repeated stretches, runs of one byte, numbers that are far too large. */
function damage(valid: Buffer, random: () => number): Buffer {
  const below = (limit: number) => Math.floor(random() * limit);
  let bytes = Buffer.from(valid);
  for (let injuries = 1 + below(3); injuries > 0 && bytes.length > 0; injuries--) {
    const at = below(bytes.length);
    const length = 1 + below(Math.min(16, bytes.length - at));
    const kind = below(7);
    if (kind === 0) bytes[at] ^= 1 << below(8);
    else if (kind === 1) bytes = bytes.subarray(0, at);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    else if (kind === 3) bytes.fill([0, 0x7f, 0x80, 0xff][below(4)], at, at + length);
    else if (kind === 4) bytes.copy(bytes, below(bytes.length), at, at + length);
    else if (kind === 5) {
      const number = Buffer.from(["9999999999999999999", "-1", "1e400", "\0"][below(4)]);
      bytes = Buffer.concat([bytes.subarray(0, at), number, bytes.subarray(at)]);
    } else {
      // The length 2^31 − 1 and the longest of thrift's variable-length numbers.
      const number = Buffer.from(
        [
          [0xff, 0xff, 0xff, 0x7f],
          [0xff, 0xff, 0xff, 0xff, 0x0f],
        ][below(2)],
      );
      bytes = Buffer.concat([bytes.subarray(0, at), number, bytes.subarray(at + number.length)]);
    }
  }
  return bytes;
}

/** Reads the whole file; returns how many numbers it held. */
async function readThrough(file: string): Promise<number> {
  const reader = await openArray(file);
  try {
    const piece = new Float64Array(2 ** 16);
    let values = 0;
    for (let read = -1; read !== 0; values += Math.max(0, read)) read = await reader.read(piece);
    expect(values).toBe(reader.length);
    return values;
  } finally {
    await reader.close();
  }
}

describe("a damaged file", () => {
  it.each(validFiles)(
    "is read or refused, soon and in little memory: %s",
    async (name, valid) => {
      expect(await readThrough(write(name, valid))).toBeGreaterThan(0);
      const random = seedrandom(name);
      const before = process.memoryUsage().rss;
      let refused = 0;
      for (let i = 0; i < damagedFiles; i++) {
        const file = write(name, damage(valid, random));
        const start = performance.now();
        if (await throwsOnlyInputErrors(() => readThrough(file))) refused += 1;
        expect(performance.now() - start, `file ${i}`).toBeLessThan(mostMs);
        expect(process.memoryUsage().rss - before, `file ${i}`).toBeLessThan(mostBytes);
      }
      expect(refused).toBeGreaterThan(damagedFiles / 4);
      if (process.env.MOESIM_DAMAGED !== undefined) {
        process.stdout.write(`${name}: ${damagedFiles} damaged, ${refused} refused\n`);
      }
    },
    600_000,
  );

  it.each([
    ["lists-5", /promises a list of 33554431 elements, but only 20 bytes remain/],
    ["lists-30", /promises a list of 33554431 elements, but only 145 bytes remain/],
    ["onebyte", /column "s", row group 0: runs of 24 values in a page of 128/],
    ["rle-8", /a file of 1706 bytes promises 268435456 values; the maximum for its size is 11182080/],
    ["rle-64", /a file of 12274 bytes promises 2147483648 values; the maximum for its size is 54468608/],
  ])("that took gigabytes is refused at once: %s.parquet", async (name, message) => {
    const file = projectPath("test/fixtures/damaged", `${name}.parquet`);
    const before = process.memoryUsage().rss;
    const start = performance.now();
    await expectInputError(() => readThrough(file), file, message);
    expect(performance.now() - start).toBeLessThan(1000);
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 27);
  });
});

describe("a file of one format", () => {
  it("with a key twice is refused: .safetensors, the same name in another spelling too", async () => {
    const entry = '{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}';
    for (const second of ["a", "\\u0061"]) {
      const file = write("twice.safetensors", safetensorsBytes(`{"a":${entry},"${second}":${entry}}`, Buffer.alloc(4)));
      await expectInputError(() => openArray(file), file, 'the key "a" appears twice');
    }
    const field = '{"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4],"dtype":"F16"}}';
    const inside = write("inside.safetensors", safetensorsBytes(field, Buffer.alloc(4)));
    await expectInputError(() => openArray(inside), inside, 'the key "dtype" appears twice');
  });

  it("with a header of 17 MB is refused before it is read: .safetensors", async () => {
    const file = write("large.safetensors", safetensorsBytes(`{${" ".repeat(17_000_000)}}`, Buffer.alloc(0)));
    await expectInputError(() => openArray(file), file, "the header has 17000002 bytes; the maximum is 16777216");
  });

  it("with a shape of thousands of dimensions is refused in a short message", async () => {
    const shape = new Array(5000).fill(1);
    const header = JSON.stringify({ a: { dtype: "F32", shape, data_offsets: [0, 4] } });
    const files = [
      write("shape.safetensors", safetensorsBytes(header, Buffer.alloc(4))),
      write("shape.npy", npyBytes(npyHeader("<f4", shape), Buffer.alloc(4))),
    ];
    for (const file of files) {
      const error: Error = await openArray(file).then(
        () => expect.fail("read"),
        (thrown) => thrown,
      );
      expect(error.message).toContain("(5000 in all)");
      expect(error.message.length).toBeLessThan(file.length + 200);
    }
  });

  it("with one line of 8 MB is refused without gathering it: .csv", async () => {
    const file = write("line.csv", `1,2\n${"1,".repeat(4_000_000)}`);
    await expectInputError(() => openArray(file), file, "line 2 has more than 1048576 bytes");
  });

  it.each<[string, Buffer, number | RegExp]>([
    ["a byte order mark", Buffer.from("\uFEFF1,2\n3,4\n"), 4],
    ["UTF-16 with its mark", Buffer.from("\uFEFF1,2\n3,4\n", "utf16le"), 4],
    ["UTF-16 without one", Buffer.from("1,2\n3,4\n", "utf16le"), /of no known kind, or damaged/],
    ["carriage returns for line feeds", Buffer.from("1,2\r3,4\r"), 4],
    ["carriage returns among line feeds", Buffer.from("1,2\n3,4\r5,6\n"), /row 2 has 3 columns/],
    ["a NUL byte", Buffer.from("1,2\n\0,4\n"), /of no known kind, or damaged/],
    ["an ANSI letter among numbers", Buffer.from([0x31, 0x2c, 0x32, 0x0a, 0xe9, 0x2c, 0x34]), /row 2, column 1/],
  ])("with %s: .csv", async (_, bytes, expected) => {
    const file = write("encoded.csv", bytes);
    if (expected instanceof RegExp) await expectInputError(() => readThrough(file), file, expected);
    else expect(await readThrough(file)).toBe(expected);
  });

  it("that is written to while it is read is refused", async () => {
    // More than a piece, which is read at once.
    const rows = 200_000;
    const bytes = float32Npy([rows, 4], new Float32Array(4 * rows).fill(0.5));
    for (const [name, content] of [["rows.npy", bytes] as const, ["rows.csv", "1,2\n".repeat(rows)] as const]) {
      const file = write(name, content);
      const reader = await openArray(file);
      const piece = new Float64Array(reader.length / 2);
      expect(await reader.read(piece)).toBe(piece.length);
      // Another moment to the clock of the file system.
      await new Promise((resolve) => setTimeout(resolve, 20));
      write(name, content);
      await expectInputError(() => reader.read(piece), file, "changed while it was read");
      await reader.close();
    }
  });
});

describe("what is no regular file", () => {
  const pipe = path.join(folder, "pipe.npy");
  execFileSync("mkfifo", [pipe]);
  mkdirSync(path.join(folder, "folder.npy"));
  symlinkSync("circle.npy", path.join(folder, "circle.npy"));
  symlinkSync("/dev/zero", path.join(folder, "zero.csv"));
  symlinkSync(pipe, path.join(folder, "link.parquet"));

  it.each([
    ["pipe.npy", "no regular file"],
    ["link.parquet", "no regular file"],
    ["zero.csv", "no regular file"],
    ["folder.npy", "this is a folder"],
    ["circle.npy", "links go round in a circle"],
    ["missing.npy", "no such file"],
    [`${"long".repeat(100)}.npy`, "the name is too long"],
    ["nul\0byte.npy", "no such file"],
  ])("is refused without waiting: %s", async (name, message) => {
    const file = path.join(folder, name);
    const shown = file.replace("\0", "\\u0000");
    await expectInputError(() => openArray(file), shown, message);
    expect(() => openRegularFile(file)).toThrow(message);
    expect(() => readSmallFile(file, 10)).toThrow(message);
  });

  it("or is large where a small file is expected, is refused before it is read", () => {
    expect(() => readSmallFile(write("eleven.yaml", "x".repeat(11)), 10)).toThrow("11 bytes; at most 10 are read");
  });

  it("shows a line feed in its name as an escape", async () => {
    await expectInputError(() => openArray(path.join(folder, "two\nlines.npy")), "two\\u000alines.npy", "no such file");
  });
});
