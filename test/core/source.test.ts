import { describe, expect, it } from "vitest";
import { openVector } from "../../src/core/formats/vector.ts";
import { blobSource, bytesSource, readBytes, readText, type Source } from "../../src/core/source.ts";
import { float32Npy, readAll } from "./formats/recorded-files.ts";

const values = [0.5, -1, 2, 3.25, 4, 1e-3].map(Math.fround);
const npy = new Uint8Array(float32Npy([3, 2], values));

describe("a vector is read alike from", () => {
  it.each<[string, Source]>([
    ["bytes", bytesSource(npy, "rows.npy")],
    ["bytes within others", bytesSource(new Uint8Array([9, 9, ...npy, 9]).subarray(2, 2 + npy.length), "rows.npy")],
    ["a Blob", blobSource(new Blob([npy]), "rows.npy")],
  ])("%s", async (_, source) => {
    const reader = await openVector(source);
    expect(reader).toMatchObject({ file: "rows.npy", shape: [3, 2] });
    expect(await readAll(reader, 2)).toEqual(values);
  });
});

describe("a source", () => {
  it("that is shorter than it says is refused, and so is a text that is too long", async () => {
    const short = { ...bytesSource(npy, "short.npy"), byteLength: npy.length + 1 };
    await expect(readBytes(short, npy.length - 1, npy.length + 1)).rejects.toThrow(
      `short.npy: truncated: the file ends at byte ${npy.length}; more was promised`,
    );
    const text = bytesSource(new TextEncoder().encode("\uFEFFname: π"), "s.yaml");
    expect(await readText(text, 100)).toBe("name: π");
    await expect(readText(text, 4)).rejects.toThrow("s.yaml: 11 bytes; the maximum is 4");
  });
});
