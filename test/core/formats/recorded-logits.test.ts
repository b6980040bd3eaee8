import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type LogitsOptions, openRecordedLogits, selectLayers } from "../../../src/core/formats/recorded-logits.ts";
import { platform } from "../../../src/core/platform.ts";
import { rangesText } from "../../../src/core/words.ts";
import {
  expectInputError,
  float32Npy,
  npyBytes,
  npyHeader,
  recordedFolder,
  safetensorsBytes,
} from "./recorded-files.ts";

const { write } = recordedFolder();
const [steps, layers, tokens, experts] = [2, 3, 4, 5];

/** The logit of a place, different from all others. */
const valueAt = (step: number, layer: number, token: number, expert: number) =>
  ((step * layers + layer) * tokens + token) * experts + expert;

/** A `.npy` file whose dimensions are `axes`, of the sizes above. */
function fileOf(axes: readonly string[]): string {
  const sizes: Record<string, number> = { steps, layers, tokens, experts };
  const shape = axes.map((axis) => sizes[axis]);
  const values = Array.from({ length: shape.reduce((product, length) => product * length, 1) }, (_, flat) => {
    const place: Record<string, number> = { steps: 0, layers: 0, tokens: 0, experts: 0 };
    let rest = flat;
    for (const axis of axes.toReversed()) {
      place[axis] = rest % sizes[axis];
      rest = Math.floor(rest / sizes[axis]);
    }
    return valueAt(place.steps, place.layers, place.tokens, place.experts);
  });
  return write(`${axes.join("-")}.npy`, float32Npy(shape, values));
}

async function open(path: string, options: LogitsOptions = {}) {
  return openRecordedLogits(await platform().open(path), options);
}

/** The logits of `layer`, `rowsAtOnce` tokens at a time. */
async function valuesOf(path: string, layer: number | null, options: LogitsOptions = {}, rowsAtOnce = 3) {
  const file = await open(path, options);
  try {
    const rows = file.open(layer);
    const piece = new Float32Array(rowsAtOnce * file.experts);
    const values: number[] = [];
    for (let read = await rows.read(piece, rowsAtOnce); read > 0; read = await rows.read(piece, rowsAtOnce)) {
      values.push(...piece.subarray(0, read * file.experts));
    }
    return values;
  } finally {
    await file.close();
  }
}

const orders = [
  ["steps", "layers", "tokens", "experts"],
  ["layers", "steps", "tokens", "experts"],
  ["steps", "tokens", "layers", "experts"],
  ["tokens", "steps", "layers", "experts"],
] as const;

describe("recorded logits with layers", () => {
  test.each(orders)("reads each layer of %s × %s × %s × %s, token by token", async (...axes) => {
    for (let layer = 0; layer < layers; layer++) {
      const expected = Array.from({ length: steps * tokens * experts }, (_, flat) =>
        valueAt(Math.floor(flat / (tokens * experts)), layer, Math.floor(flat / experts) % tokens, flat % experts),
      );
      const path = fileOf(axes);
      expect(await valuesOf(path, layer, { axes })).toEqual(expected);
      expect(await valuesOf(path, layer, { axes }, 64)).toEqual(expected);
    }
  });

  test("takes four dimensions for steps × layers × tokens × experts", async () => {
    const path = fileOf(orders[0]);
    const file = await open(path);
    expect(file).toMatchObject({ layers: [0, 1, 2], absentLayers: [], steps, tokens, experts });
    await file.close();
    expect(await valuesOf(path, 2)).toEqual(await valuesOf(path, 2, { axes: orders[0] }));
  });

  test("reads layers × tokens × experts, whose tokens are not yet cut into steps", async () => {
    const path = fileOf(["layers", "tokens", "experts"]);
    const file = await open(path, { axes: ["layers", "tokens", "experts"] });
    expect(file).toMatchObject({ layers: [0, 1, 2], steps: null, tokens, experts });
    await file.close();
    const asSteps = await open(path);
    expect(asSteps).toMatchObject({ layers: null, steps: layers });
    await asSteps.close();
  });

  test("refuses axes that do not fit", async () => {
    const path = fileOf(orders[0]);
    await expectInputError(() => open(path, { axes: ["tokens", "experts"] }), path, "tokens,experts", "4 dimensions");
    await expectInputError(() => open(path, { axes: ["steps", "layers", "experts", "tokens"] }), path, "transposed");
    const flat = write("flat-axes.npy", float32Npy([4], [1, 2, 3, 4]));
    await expectInputError(() => open(flat), flat, "1 dimension");
    const integers = write("layers-i4.npy", npyBytes(npyHeader("<i4", [2, 1, 2, 2]), new Uint8Array(32)));
    await expectInputError(() => open(integers), integers, "not logits");
  });
});

describe("recorded logits with a tensor per layer", () => {
  const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const tensor = (shape: readonly number[], begin: number) => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, begin + 4 * shape.reduce((product, length) => product * length, 1)],
  });
  const perLayer = write(
    "per-layer.safetensors",
    safetensorsBytes(
      {
        "model.layers.10.gate2.logits": tensor([2, 2], 0),
        "model.layers.3.gate2.logits": tensor([2, 2], 16),
        "model.layers.0.gate2.logits": tensor([0, 2], 32),
      },
      floats(1, 2, 3, 4, 5, 6, 7, 8),
    ),
  );

  test("takes the differing number in the names for the layer's id, and no rows for absent", async () => {
    const file = await open(perLayer);
    expect(file).toMatchObject({ layers: [3, 10], absentLayers: [0], steps: null, tokens: 2, experts: 2 });
    await file.close();
    expect(await valuesOf(perLayer, 3)).toEqual([5, 6, 7, 8]);
    expect(await valuesOf(perLayer, 10)).toEqual([1, 2, 3, 4]);
  });

  test("reads one tensor if it is named, and those of a pattern", async () => {
    expect(await valuesOf(perLayer, null, { tensor: "model.layers.10.gate2.logits" })).toEqual([1, 2, 3, 4]);
    expect(await valuesOf(perLayer, 3, { tensor: "model.layers.*.gate2.logits" })).toEqual([5, 6, 7, 8]);
    await expectInputError(() => open(perLayer, { tensor: "layer.*" }), perLayer, 'no tensor "layer.*"', "layers.10");
  });

  test("refuses layers of different shape, and other tensors besides", async () => {
    const uneven = write(
      "uneven.safetensors",
      safetensorsBytes({ "l.0": tensor([1, 2], 0), "l.1": tensor([2, 2], 8) }, floats(1, 2, 3, 4, 5, 6)),
    );
    await expectInputError(
      () => open(uneven),
      uneven,
      "differ in shape",
      "layer 0 has 1 token in 1 step",
      "layer 1 has 2 tokens in 1 step",
    );
    const mixed = write(
      "mixed.safetensors",
      safetensorsBytes({ other: tensor([1, 2], 0), "l.1": tensor([1, 2], 8) }, floats(1, 2, 3, 4)),
    );
    await expectInputError(() => open(mixed), mixed, "2 tensors", "select one");
  });
});

/** Files of real systems; they are not part of the project. */
const small = join(import.meta.dirname, "../../../../shared/formats/made-small");

describe.skipIf(!existsSync(small))("recorded logits of real systems (skipped without ../shared/formats)", () => {
  test("are the same in an archive of NumPy and a file of PyTorch, and by position there", async () => {
    const archive = await open(join(small, "logits.npz"));
    expect(archive).toMatchObject({ layers: [1, 2, 4, 5], absentLayers: [], steps: null, tokens: 192, experts: 32 });
    await archive.close();
    const torch = await open(join(small, "router_logits.pt"));
    expect(torch).toMatchObject({ layers: [0, 1, 2, 3], steps: null, tokens: 192, experts: 32 });
    await torch.close();
    const values = await valuesOf(join(small, "logits.npz"), 4, {}, 50);
    expect(values).toHaveLength(192 * 32);
    expect(await valuesOf(join(small, "router_logits.pt"), 2, {}, 7)).toEqual(values);
  });
});

describe("probabilities", () => {
  test("become logits with the same softmax, also those that were rounded to 0", async () => {
    const path = write("probabilities.npy", float32Npy([2, 2], [0.25, 0.75, 0, 1]));
    const [first, second, third, fourth] = await valuesOf(path, null, { input: "probabilities" });
    expect(Math.exp(first - second)).toBeCloseTo(1 / 3, 6);
    expect(fourth).toBe(0);
    expect(Number.isFinite(third) && third < -100).toBe(true);
    const logarithms = write("logarithms.npy", float32Npy([1, 2], [-1, -2]));
    expect(await valuesOf(logarithms, null, { input: "log-probabilities" })).toEqual([-1, -2]);
  });
});

describe("selected layers", () => {
  const file = { file: "f", layers: [1, 2, 4, 5, 6], absentLayers: [0, 3] };

  test("are ids and ranges of ids, rising, and say which are absent", () => {
    expect(selectLayers(file, [5, "1-3"])).toEqual({ layers: [1, 2, 5], absentLayers: [3] });
    expect(selectLayers(file, undefined)).toEqual({ layers: [1, 2, 4, 5, 6], absentLayers: [0, 3] });
    expect(selectLayers({ ...file, layers: null }, undefined)).toBeNull();
  });

  test("must exist, and have logits", async () => {
    await expectInputError(async () => selectLayers(file, [7]), "no layer 7", "0-6");
    await expectInputError(async () => selectLayers(file, ["8-9"]), "no layer 8-9");
    await expectInputError(async () => selectLayers(file, [0, 3]), "0, 3 have no logits", "1-2, 4-6");
    await expectInputError(async () => selectLayers({ ...file, layers: null }, [0]), "has no layers", "axes");
  });

  test("are written as ranges", () => {
    expect(rangesText([0, 1, 2, 5, 7, 8])).toBe("0-2, 5, 7-8");
  });
});
