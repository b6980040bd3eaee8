import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { storedSafetensors } from "../../../src/core/formats/safetensors.ts";
import { rowsOf } from "../../../src/core/formats/stored-tensor.ts";
import {
  expectInputError,
  openArray,
  readAll,
  recordedFolder,
  safetensorsBytes,
  throwsOnlyInputErrors,
  withFile,
} from "./recorded-files.ts";

const { write } = recordedFolder();

/** Two tensors: `gate` F32 [2, 2] and `steps` BF16 [1, 2, 2]. */
const header = {
  __metadata__: { format: "pt" },
  gate: { dtype: "F32", shape: [2, 2], data_offsets: [0, 16] },
  steps: { dtype: "BF16", shape: [1, 2, 2], data_offsets: [16, 24] },
};
const gate = [1.5, -2.25, 2 ** -149, 3e38].map(Math.fround);
const data = Buffer.concat([
  Buffer.from(Float32Array.from(gate).buffer),
  // bfloat16: 1, −2, 2^-133 (the smallest subnormal), 3.140625
  Buffer.from(Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x4049).buffer),
]);
const valid = safetensorsBytes(header, data);
const bare = (tensor: object) => ({ gate: tensor });
const tensorsOf = (path: string) => withFile(path, storedSafetensors);

/** The numbers of one tensor of the file at `path`. */
function valuesOf(path: string, name: string): Promise<number[]> {
  return withFile(path, async (file) => {
    const tensor = (await storedSafetensors(file)).get(name);
    if (tensor === undefined) return [];
    const rows = rowsOf(tensor);
    const values = new Float64Array(rows.rows * rows.columns);
    await rows.read(values, 0, 0, rows.rows);
    return [...values];
  });
}

describe("a .safetensors file", () => {
  test("has its tensors by name, in two and three dimensions", async () => {
    const path = write("two.safetensors", valid);
    const tensors = await tensorsOf(path);
    const found = Array.from(tensors, ([name, { element, shape }]) => [name, element.name, shape]);
    expect(found).toEqual([
      ["gate", "float32", [2, 2]],
      ["steps", "bfloat16", [1, 2, 2]],
    ]);
    expect(await valuesOf(path, "gate")).toEqual(gate);
    expect(await valuesOf(path, "steps")).toEqual([1, -2, 2 ** -133, 3.140625]);
  });

  test.each([
    ["F16", Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff), [1, -2, 2 ** -24, 65_504]],
    ["F64", Float64Array.of(0.1, -1e300, 0, 1), [0.1, -1e300, 0, 1]],
    ["I64", BigInt64Array.of(-1n, 0n, 63n, 2n ** 40n), [-1, 0, 63, 2 ** 40]],
    ["U8", Uint8Array.of(0, 1, 2, 255), [0, 1, 2, 255]],
  ])("is a vector of its sole tensor of %s", async (dtype, values, expected) => {
    const path = write(
      "one.safetensors",
      safetensorsBytes(
        bare({ dtype, shape: [2, 2], data_offsets: [0, values.byteLength] }),
        Buffer.from(values.buffer),
      ),
    );
    expect(await readAll(await openArray(path))).toEqual(expected);
  });

  test("is no vector if it has several tensors, which are listed", async () => {
    const path = write("two.safetensors", valid);
    await expectInputError(() => openArray(path), path, "2 tensors", '"gate", "steps"');
  });

  test("leaves out tensors of types that are no numbers", async () => {
    const f8 = bare({ dtype: "F8_E5M2", shape: [4, 4], data_offsets: [0, 16] });
    const path = write("f8.safetensors", safetensorsBytes(f8, new Uint8Array(16)));
    expect((await tensorsOf(path)).size).toBe(0);
    await expectInputError(() => openArray(path), path, "empty stream", "no tensors of numbers");
  });

  test("refuses a file cut anywhere", async () => {
    for (let length = 0; length < valid.length; length++) {
      const path = write("cut.safetensors", valid.subarray(0, length));
      await expectInputError(() => tensorsOf(path), path, "truncated");
    }
  });

  const f32 = (shape: unknown, data_offsets: unknown) => bare({ dtype: "F32", shape, data_offsets });
  test.each<[string, unknown, ...(string | RegExp)[]]>([
    ["text that is not JSON", "{gate", "not JSON"],
    ["a list", [], "JSON object"],
    ["null", "null", "JSON object"],
    ["no tensor", {}, "16 bytes follow"],
    ["a tensor that is a number", { gate: 1 }, 'tensor "gate": it is not an object'],
    ["a missing shape", bare({ dtype: "F32", data_offsets: [0, 16] }), 'tensor "gate": its shape is not a list'],
    ["a negative dimension", f32([-2, -2], [0, 16]), 'tensor "gate": its shape is not a list of integers ≥ 0'],
    ["a dimension beyond 2^53", f32([1e300, 1], [0, 16]), 'tensor "gate": its shape is not a list of integers ≥ 0'],
    ["a product beyond 2^53", f32([2 ** 50, 2 ** 50], [0, 16]), "truncated", "but the file has 16"],
    ["offsets that go back", f32([2, 2], [16, 0]), "data_offsets [16, 0]"],
    ["a gap before the first tensor", f32([1, 2], [8, 16]), "begin of 0"],
    ["offsets beyond the file", f32([2, 4], [0, 32]), "truncated", "take 32 bytes", "but the file has 16"],
    ["bytes after the last tensor", f32([1, 2], [0, 8]), "8 bytes follow"],
    ["a shape that needs more than the offsets give", f32([4, 2], [0, 16]), "32 bytes", "but the file has 16"],
    ["a shape that needs less than the offsets give", f32([1, 2], [0, 16]), "8 bytes", "but the file has 16"],
    [
      "overlapping tensors",
      {
        a: { dtype: "F32", shape: [3], data_offsets: [0, 12] },
        b: { dtype: "F32", shape: [2], data_offsets: [8, 16] },
      },
      "begin of 12",
    ],
  ])("refuses %s", async (_, malformed, ...parts) => {
    const path = write("malformed.safetensors", safetensorsBytes(malformed, new Uint8Array(16)));
    await expectInputError(() => tensorsOf(path), path, ...parts);
  });

  test("refuses an empty tensor", async () => {
    const path = write("empty.safetensors", safetensorsBytes(f32([0, 4], [0, 0]), new Uint8Array()));
    await expectInputError(() => openArray(path), path, "empty stream");
    const none = write("none.safetensors", safetensorsBytes({}, new Uint8Array()));
    await expectInputError(() => openArray(none), none, "empty stream");
  });

  test("does not believe a header length of 2^64 − 1", async () => {
    const bytes = Buffer.from(valid);
    bytes.fill(0xff, 0, 8);
    const path = write("huge.safetensors", bytes);
    await expectInputError(() => tensorsOf(path), path, "18446744073709551615");
  });

  test("answers flipped bytes with data or an InputError, never with another error", async () => {
    const flips = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(flips, async (damage) => {
        const bytes = Buffer.from(valid);
        for (const [at, byte] of damage) bytes[at] = byte;
        const path = write("damaged.safetensors", bytes);
        await throwsOnlyInputErrors(async () => valuesOf(path, "steps"));
      }),
      { seed: 3, numRuns: 300 },
    );
  });
});
