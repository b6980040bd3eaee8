import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createNpyWriter } from "../../../src/node/files/npy-writer.ts";
import { openArray, readAll, recordedFolder } from "../../core/formats/recorded-files.ts";

const { folder } = recordedFolder();
const path = join(folder, "plan.npy");

describe("createNpyWriter", () => {
  test("writes the bytes that NumPy writes", () => {
    const writer = createNpyWriter(path, [2, 3]);
    writer.append(Float32Array.of(1, 2, 3), 3);
    writer.append(Float32Array.of(4, 5, 6), 3);
    writer.close();
    // numpy.save of numpy.arange(1, 7, dtype="<f4").reshape(2, 3): a header of 118 bytes, padded with spaces.
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".padEnd(117, " ");
    const expected = Buffer.concat([
      Buffer.from("934e554d505901007600", "hex"),
      Buffer.from(`${header}\n`),
      Buffer.from("0000803f0000004000004040000080400000a0400000c040", "hex"),
    ]);
    expect(readFileSync(path).equals(expected)).toBe(true);
  });

  test("writes what the reader reads back, for any shape and any pieces, its data at a multiple of 64 bytes", async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.integer({ min: 1, max: 20 }), async (shape, pieceLength) => {
        const length = shape.reduce((product, each) => product * each, 1);
        const values = Float32Array.from({ length }, (_, i) => Math.sin(i));
        const writer = createNpyWriter(path, shape);
        // The same buffer again and again, longer than what it holds.
        const piece = new Float32Array(pieceLength + 3);
        for (let done = 0; done < length; done += pieceLength) {
          const now = values.subarray(done, done + pieceLength);
          piece.set(now);
          writer.append(piece, now.length);
        }
        writer.close();
        expect((readFileSync(path).length - 4 * length) % 64).toBe(0);
        const reader = await openArray(path);
        expect(reader).toMatchObject({ shape, dtype: "float32" });
        expect(await readAll(reader)).toEqual([...values]);
      }),
      { seed: 8, numRuns: 50 },
    );
  });

  test("refuses more values than its shape holds", () => {
    const writer = createNpyWriter(path, [2, 2]);
    writer.append(Float32Array.of(1, 2, 3), 3);
    expect(() => writer.append(Float32Array.of(1, 2), 2)).toThrow(RangeError);
    writer.close();
  });
});
