import { describe, expect, it } from "vitest";
import { createKernels } from "../../../src/core/kernels/index.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { normals } from "./matrices.ts";

const million = 2 ** 20;

describe("the memory of the WebAssembly kernels", () => {
  it("keeps earlier arrays valid, and kernels working on them, while it grows", () => {
    const kernels = createWasmKernels();
    const early = kernels.allocateFloat32(1001);
    early.set(normals(1, 1001));
    const before = Array.from(early);
    const late = kernels.allocateFloat32(4 * million);
    kernels.allocateFloat64(million);
    expect(early.length).toBe(1001);
    expect(Array.from(early)).toEqual(before);
    late.fill(7);
    expect(Array.from(early)).toEqual(before);
    // One array from before the growth, one from after it.
    kernels.scores(early, "sigmoid", 1, 1001, late);
    expect(late[0]).toBeCloseTo(1 / (1 + Math.exp(-before[0])), 6);
    expect(late[1001]).toBe(7);
    early[0] = 0;
    kernels.scores(early, "sigmoid", 1, 1, late);
    expect(late[0]).toBe(0.5);
  });

  it("hands out zeros, aligned to 16 bytes, that do not overlap", () => {
    const kernels = createWasmKernels();
    const arrays = [
      kernels.allocateFloat32(3),
      kernels.allocateInt32(1),
      kernels.allocateFloat64(5),
      kernels.allocateUint32(0),
      kernels.allocateUint32(2),
    ];
    for (const [i, array] of arrays.entries()) {
      expect(array.byteOffset % 16).toBe(0);
      expect(array.every((value) => value === 0)).toBe(true);
      array.fill(i + 1);
    }
    for (const [i, array] of arrays.entries()) expect(array.every((value) => value === i + 1)).toBe(true);
  });

  it("keeps arrays apart from the kernels' own working memory", () => {
    const kernels = createWasmKernels();
    const logits = kernels.allocateFloat32(4 * 300);
    const bias = kernels.allocateFloat64(300);
    const expert = kernels.allocateInt32(4 * 300);
    const load = kernels.allocateInt32(300);
    kernels.selectTopK(logits, "sigmoid", bias.subarray(0, 2), 2, 2, 1, expert, load);
    const marked = kernels.allocateFloat32(1000).fill(3);
    kernels.selectTopK(logits, "sigmoid", bias, 4, 300, 300, expert, load);
    kernels.selectTokens(logits, "softmax", 4, 300, 2, expert.subarray(0, 600));
    expect(marked.every((value) => value === 3)).toBe(true);
  });

  it("accepts parts of its arrays", () => {
    const kernels = createWasmKernels();
    const logits = kernels.allocateFloat32(8);
    logits.set([9, 9, 9, 0, 2, 1, 9, 9]);
    const expert = kernels.allocateInt32(1);
    kernels.selectTopK(logits.subarray(3, 6), "logits", null, 1, 3, 1, expert, kernels.allocateInt32(3));
    expect(expert[0]).toBe(1);
  });

  it("refuses arrays of others, and arrays that are too short", () => {
    const kernels = createWasmKernels();
    const other = createWasmKernels();
    const out = kernels.allocateFloat32(4);
    expect(() => kernels.scores(new Float32Array(4), "softmax", 1, 4, out)).toThrow(TypeError);
    expect(() => kernels.scores(other.allocateFloat32(4), "softmax", 1, 4, out)).toThrow(/its own instance/);
    expect(() => kernels.scores(out, "softmax", 1, 5, out)).toThrow(RangeError);
  });

  it("says how much was asked for when 4 GiB do not hold it", () => {
    const kernels = createWasmKernels();
    expect(() => kernels.allocateFloat64(2 ** 30)).toThrow(RangeError);
    expect(() => kernels.allocateFloat64(2 ** 30)).toThrow(/4 GiB.*8589934592 bytes/);
    // The failure leaves the instance as it was.
    expect(kernels.allocateFloat32(10).length).toBe(10);
  });

  it("is chosen by name, as its plain twin is", () => {
    expect(createKernels("wasm").backend).toBe("wasm");
    expect(createKernels("reference").backend).toBe("reference");
  });
});
