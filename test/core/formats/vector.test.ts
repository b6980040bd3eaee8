import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../support/program.ts";
import {
  expectInputError,
  float32Npy,
  npyBytes,
  npyHeader,
  openArray,
  readAll,
  recordedFolder,
  safetensorsBytes,
} from "./recorded-files.ts";

const { write } = recordedFolder();
const flags = Uint8Array.of(0, 1, 1, 0, 0, 1);
const asNumbers = [...flags];

describe("a vector", () => {
  const safetensors = { mask: { dtype: "BOOL", shape: [2, 3], data_offsets: [0, 6] } };
  test.each<[string, Uint8Array | string]>([
    ["mask.npy", npyBytes(npyHeader("|b1", [2, 3]), flags)],
    ["mask.safetensors", safetensorsBytes(safetensors, flags)],
    ["mask.csv", "token,padding\n0,0\n1,1\n2,1\n3,0\n4,0\n5,1\n"],
    ["named.npy", "0\t1\t1\n0\t0\t1\n"],
    ["utf16.csv", Buffer.from("\uFEFF0,1,1\n0,0,1\n", "utf16le")],
    [
      "mask.parquet",
      new Uint8Array(
        parquetWriteBuffer({
          columnData: [
            { name: "token", data: Int32Array.from(flags, (_, i) => i), type: "INT32" },
            { name: "padding", data: Int32Array.from(flags), type: "INT32" },
          ],
        }),
      ),
    ],
  ])("is known by its content, in any shape: %s", async (name, bytes) => {
    for (const atOnce of [1, 4, 6, 100])
      expect(await readAll(await openArray(write(name, bytes)), atOnce)).toEqual(asNumbers);
  });

  test("is the only array of an archive", async () => {
    // NumPy's archive of three layers.
    const layers = join(projectPath("test/fixtures/recorded"), "layers.npz");
    await expectInputError(
      () => openArray(layers),
      layers,
      /the file has \d+ tensors/,
      "save the one that is meant alone",
    );
  });

  test("can have more numbers than a table has columns, in one row", async () => {
    const length = 200_000;
    const path = write(
      "long.npy",
      float32Npy(
        [1, length],
        Float32Array.from({ length }, (_, i) => i % 7),
      ),
    );
    const vector = await openArray(path);
    expect(vector).toMatchObject({ shape: [1, length], length });
    const values = await readAll(vector, 70_001);
    expect(values.every((value, i) => value === i % 7)).toBe(true);
  });

  test.each<[string, Uint8Array | string, string]>([
    ["nothing", "", "empty stream"],
    ["a GGUF file", Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(20)]), "of no known kind"],
    ["a broken zip archive", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(60)]), "zip"],
    ["words", "a,b\nc,d\n", "is not a number"],
    ["a header alone", "padding\n", "empty stream"],
  ])("is refused: %s", async (_, bytes, message) => {
    const path = write("refused", bytes);
    await expectInputError(() => openArray(path), path, message);
  });
});

test("a PyTorch file is read if it holds one tensor, alone or in a dictionary", async () => {
  const fixture = (name: string) => projectPath("test/fixtures/recorded", name);
  for (const name of ["mask.pt", "bias.pt"]) expect(await readAll(await openArray(fixture(name)))).toEqual(asNumbers);
  await expectInputError(() => openArray(fixture("transposed.pt")), fixture("transposed.pt"), ".contiguous()");
  await expectInputError(() => openArray(fixture("stat.pt")), fixture("stat.pt"), "expected one tensor");
});
