import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { openParquetTable } from "../../../../src/core/formats/parquet/parquet.ts";
import {
  expectInputError,
  openArray,
  readAll,
  recordedFolder,
  throwsOnlyInputErrors,
  withFile,
} from "../recorded-files.ts";

const { write } = recordedFolder();
const fixtures = join(import.meta.dirname, "../../../fixtures/recorded");

/** A file of several row groups with pages of a few values. */
function parquet(columnData: ColumnSource[]): Uint8Array {
  return new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 4, pageSize: 32 }));
}

const rows = [
  [0.5, -1, 2],
  [3, 4.25, 5],
  [6, 7, -8.5],
  [9, 10, 11],
  [12, 13, 14.5],
  [15, 16, 17],
];
const column = (i: number) => Float32Array.from(rows, (row) => row[i]);
const columnsFile = parquet([0, 1, 2].map((i) => ({ name: `expert_${i}`, data: column(i), type: "FLOAT" })));

describe("a vector of a .parquet file", () => {
  test("reads one column per expert across row groups", async () => {
    const reader = await openArray(write("columns.parquet", columnsFile));
    expect(reader).toMatchObject({ dtype: "float32", kind: "float", shape: [6, 3], length: 18 });
    expect(await readAll(reader, 5)).toEqual(rows.flat());
  });

  test.each([
    ["lists-zstd-v1.parquet", "float32"],
    ["lists-float16-v2.parquet", "float16"],
    ["columns-dictionary-snappy.parquet", "float64"],
  ])("reads %s as Arrow wrote it, with several row groups and pages", async (name, dtype) => {
    const expected = Array.from({ length: 200 }, (_, i) => ((7 * Math.floor(i / 4) + 3 * (i % 4)) % 11) - 4.75);
    for (const atOnce of [1, 7, 50]) {
      const reader = await openArray(join(fixtures, name));
      expect(reader).toMatchObject({ dtype, shape: [50, 4] });
      expect(await readAll(reader, atOnce)).toEqual(expected);
    }
  });

  test.each<[string, ColumnSource["type"], ColumnSource["data"], number[]]>([
    ["INT32", "INT32", Int32Array.of(-1, 0, 63), [-1, 0, 63]],
    ["INT64", "INT64", BigInt64Array.of(-1n, 0n, 2n ** 40n), [-1, 0, 2 ** 40]],
  ])("reads integers of type %s as integers", async (_, type, data, expected) => {
    const reader = await openArray(write("integers.parquet", parquet([{ name: "expert", data, type: type! }])));
    expect(reader).toMatchObject({ kind: "integer", shape: [3, 1] });
    expect(await readAll(reader)).toEqual(expected);
  });
});

describe("a vector of an unfit .parquet file", () => {
  test("refuses text among the experts, and a mixture of floats and integers, listing the columns", async () => {
    const text = write(
      "text.parquet",
      parquet([
        { name: "word", data: ["a"] },
        { name: "x", data: [0.5], type: "FLOAT" },
      ]),
    );
    await expectInputError(() => openArray(text), text, '"x" (float32), "word" (not numbers)');
    const mixed = write(
      "mixed.parquet",
      parquet([
        { name: "id", data: Int32Array.of(1), type: "INT32" },
        { name: "x", data: [0.5], type: "FLOAT" },
      ]),
    );
    await expectInputError(() => openArray(mixed), mixed, '"id" (int32), "x" (float32)');
  });

  test("refuses a null, naming the rows of its page", async () => {
    const path = write("null.parquet", parquet([{ name: "x", data: [1, 2, null, 4, 5, 6], type: "FLOAT" }]));
    await expectInputError(
      async () => readAll(await openArray(path)),
      path,
      'column "x"',
      /one of the rows \d to \d is null/,
    );
  });

  test("refuses lists of different lengths, by their sum or by the row", async () => {
    const sum = write("sum.parquet", listParquet([[1, 2], [3]]));
    await expectInputError(() => openArray(sum), sum, "3 values in 2 rows");
    const row = write("row.parquet", listParquet([[1, 2], [3], [4, 5, 6]]));
    await expectInputError(async () => readAll(await openArray(row)), row, "row 1 has fewer than 2 values");
    const more = write("more.parquet", listParquet([[1, 2], [4, 5, 6], [3]]));
    await expectInputError(async () => readAll(await openArray(more)), more, "row 1 has more than 2 values");
  });

  test("refuses a file without rows", async () => {
    const path = write("empty.parquet", parquet([{ name: "x", data: new Float32Array(), type: "FLOAT" }]));
    await expectInputError(() => openArray(path), path, "empty stream");
  });

  test("refuses a run that claims far more values than its page", async () => {
    // Wherever a run begins, one of these hits it; a decoder that believed it would fill the memory.
    const bytes = Buffer.from(
      listParquet([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
    );
    for (let at = 4; at + 5 < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      // The length 2^30 of a run of equal values, as a variable-length number.
      damaged.set([0x80, 0x80, 0x80, 0x80, 0x08], at);
      const path = write("run.parquet", damaged);
      await throwsOnlyInputErrors(async () => readAll(await openArray(path), 3));
    }
    expect(process.memoryUsage().rss).toBeLessThan(2 ** 30);
  });

  test("refuses a file cut anywhere", async () => {
    for (let length = 0; length < columnsFile.length; length += 3) {
      const path = write("cut.parquet", columnsFile.subarray(0, length));
      await expectInputError(async () => readAll(await openArray(path)), path);
    }
  });

  test("refuses metadata longer than the file and other magic", async () => {
    const long = Buffer.from(columnsFile);
    long.writeUInt32LE(0xffff_ffff, long.length - 8);
    const path = write("long.parquet", long);
    await expectInputError(() => openArray(path), path, "metadata should have 4294967295 bytes");
    const other = write("other.parquet", Buffer.alloc(100, "x"));
    await expectInputError(() => withFile(other, openParquetTable), other, "does not begin with PAR1");
  });

  test("answers flipped bytes with data or an InputError, never with another error", async () => {
    const files = [
      columnsFile,
      readFileSync(join(fixtures, "lists-zstd-v1.parquet")),
      readFileSync(join(fixtures, "lists-float16-v2.parquet")),
    ];
    const damages = fc.tuple(
      fc.nat(files.length - 1),
      fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), { minLength: 1, maxLength: 3 }),
    );
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(damages, async ([which, flips]) => {
        const bytes = Buffer.from(files[which]);
        for (const [at, byte] of flips) bytes[Math.floor(at * bytes.length)] = byte;
        const path = write("damaged.parquet", bytes);
        if (await throwsOnlyInputErrors(async () => readAll(await openArray(path), 50))) refused++;
      }),
      { seed: 6, numRuns: 400 },
    );
    expect(refused).toBeGreaterThan(0);
  });
});

/** A list column as Arrow lays it out: an optional list of optional floats. */
function listParquet(data: number[][]): Uint8Array {
  return new Uint8Array(
    parquetWriteBuffer({
      columnData: [{ name: "logits", data }],
      schema: [
        { name: "root", num_children: 1 },
        { name: "logits", repetition_type: "OPTIONAL", converted_type: "LIST", num_children: 1 },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        { name: "element", repetition_type: "OPTIONAL", type: "FLOAT" },
      ],
    }),
  );
}
