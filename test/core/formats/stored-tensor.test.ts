import { describe, expect, test } from "vitest";
import { elementTypes } from "../../../src/core/formats/element-type.ts";
import { packedStrides, rowsOf, type StoredTensor, tensorOf } from "../../../src/core/formats/stored-tensor.ts";
import { NumberList } from "../../../src/core/formats/tables.ts";
import { bytesSource } from "../../../src/core/source.ts";

describe("rowsOf", () => {
  const [rows, columns] = [1 << 14, 32];
  const source = bytesSource(new Uint8Array(Float32Array.from({ length: rows * columns }, (_, i) => i).buffer), "made");
  const whole: StoredTensor = {
    source,
    element: elementTypes.float32,
    littleEndian: true,
    shape: [rows, columns],
    strides: packedStrides([rows, columns]),
    begin: 0,
  };

  test("keeps no buffer of each of thousands of tensors", async () => {
    const into = new Float32Array(columns);
    const tensors = Array.from({ length: 300 }, () => rowsOf(whole));
    const before = process.memoryUsage().arrayBuffers;
    for (const [row, tensor] of tensors.entries()) {
      await tensor.read(into, 0, row, 1);
      expect(into[0]).toBe(row * columns);
    }
    // One buffer is up to 1 MiB; 300 would be kept by the tensors.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 2 ** 20);
  });

  test("reads several tensors at once, also those whose rows lie apart", async () => {
    const apart = { ...whole, shape: [rows / 2, columns], strides: [2 * columns, 1], begin: 4 * columns };
    const readers = [rowsOf(whole), rowsOf(apart), rowsOf(whole), rowsOf(apart), rowsOf(whole), rowsOf(apart)];
    const read = await Promise.all(
      readers.map(async (reader, i) => {
        const into = new Float64Array(3 * columns);
        await reader.read(into, 0, 100 * i, 3);
        return [into[0], into[2 * columns], into.at(-1)];
      }),
    );
    read.forEach((found, i) => {
      const [first, step] = i % 2 === 0 ? [100 * i, 1] : [200 * i + 1, 2];
      expect(found).toEqual(
        [first, first + 2 * step, first + 2 * step].map((row, j) => row * columns + (j === 2 ? 31 : 0)),
      );
    });
  });
});

describe("NumberList", () => {
  test.each<[number[], string, number]>([
    [[0, 127, -1], "int8", 1],
    [[5, 128, -1, 255], "int16", 2],
    [[300, 40_000, -1], "int32", 4],
    [[1, 2 ** 31], "float64", 8],
    [[-128, 1, 70_000, 2 ** 40, 3], "float64", 8],
  ])("keeps the integers %j as %s", async (numbers, name, bytes) => {
    const list = new NumberList("integer");
    for (let i = 0; i < 100; i++) for (const each of numbers) list.push(each);
    expect(Array.from(list.toArray())).toEqual(Array.from({ length: 100 }, () => numbers).flat());
    expect(list.byteLength).toBe(100 * numbers.length * bytes);
    const tensor = tensorOf(list.toArray(), [100, numbers.length], "list");
    expect(tensor.element.name).toBe(name);
    const into = new Float64Array(numbers.length);
    await rowsOf(tensor).read(into, 0, 99, 1);
    expect(Array.from(into)).toEqual(numbers);
  });
});
