import { describe, expect, it } from "vitest";
import { expertParameters, type Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { loadTensors } from "../../../src/node/tensors.ts";
import { float32, normals } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();

function int32(kernels: Kernels, values: readonly number[]): Int32Array {
  const array = kernels.allocateInt32(values.length);
  array.set(values);
  return array;
}

/** Expects each of `actual` within `terms` float32 roundings of the sum of sizes `size`. */
function expectClose(actual: Float32Array, expected: Float32Array, size: number, terms: number): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries()) {
    if (!(Math.abs(value - expected[i]) <= terms * 2 ** -24 * size)) expect(value, `[${i}]`).toBe(expected[i]);
  }
}

const sizes = [1, 3, 4, 9, 33].flatMap((rows) =>
  [1, 2, 5, 17, 64].flatMap((inner) => [1, 3, 7, 8, 12, 31].map((columns) => [rows, inner, columns] as const)),
);

describe("products with a transposed factor", () => {
  it("agree with the reference over odd sizes, and with the plain product of the transpose", () => {
    for (const [rows, inner, columns] of [...sizes, [6, 700, 97], [5, 5000, 19]] as const) {
      const left = normals(rows + inner, rows * inner);
      const right = normals(inner + columns, columns * inner);
      const start = normals(rows + columns, rows * columns);
      const byTransposed = (kernels: Kernels, accumulate: boolean) => {
        const out = float32(kernels, start);
        const factors = [float32(kernels, left), float32(kernels, right)] as const;
        kernels.multiplyRightTransposed(...factors, out, rows, inner, columns, accumulate);
        return out;
      };
      // No entry of the factors is above 6.6.
      const size = inner * 30;
      for (const accumulate of [false, true]) {
        expectClose(byTransposed(wasm, accumulate), byTransposed(reference, accumulate), size, inner + 2);
      }
      const transposed = (kernels: Kernels) => {
        const out = float32(kernels, start);
        // [inner × rows]ᵀ · [inner × columns]
        const factors = [float32(kernels, left), float32(kernels, right)] as const;
        kernels.multiplyLeftTransposed(...factors, out, inner, rows, columns);
        return out;
      };
      expectClose(transposed(wasm), transposed(reference), size, inner + 2);
    }
    const out = float32(reference, [0, 0, 0, 0]);
    reference.multiplyRightTransposed(
      float32(reference, [1, 2, 3, 4]),
      float32(reference, [5, 6, 7, 8]),
      out,
      2,
      2,
      2,
      false,
    );
    expect(Array.from(out)).toEqual([17, 23, 39, 53]);
    reference.multiplyLeftTransposed(float32(reference, [1, 2, 3, 4]), float32(reference, [5, 6, 7, 8]), out, 2, 2, 2);
    expect(Array.from(out)).toEqual([26, 30, 38, 44]);
  });
});

describe("an expert", () => {
  /** Forward and backward on pairs 2 … `pairs` + 2 of seven tokens; other pairs hold NaN. */
  function run(kernels: Kernels, pairs: number, width: number, hidden: number) {
    const [start, end] = [2, 2 + pairs];
    const token = Array.from({ length: end }, (_, p) => (3 * p + 1) % 7);
    const size = expertParameters(width, hidden);
    const parameters = float32(kernels, normals(width + hidden, size));
    const tokens = float32(kernels, normals(width, 7 * width));
    const named = int32(kernels, token);
    const gate = float32(kernels, normals(pairs, end));
    const inner = float32(kernels, new Array(end * hidden).fill(Number.NaN));
    const output = float32(kernels, new Array(end * width).fill(Number.NaN));
    kernels.expertForward(tokens, named, start, end, parameters, width, hidden, inner, output);
    const forward = { inner: inner.slice(), output: output.slice() };
    const outputGradient = float32(kernels, normals(width + 1, 7 * width));
    const tokenGradient = float32(kernels, new Array(end * width).fill(Number.NaN));
    const gradient = float32(kernels, new Array(size).fill(Number.NaN));
    const backward = (to: Float32Array | null) =>
      kernels.expertBackward(
        tokens,
        named,
        gate,
        start,
        end,
        parameters,
        width,
        hidden,
        inner,
        outputGradient,
        to,
        gradient,
      );
    backward(tokenGradient);
    const results = { ...forward, innerGradient: inner.slice(), tokenGradient, gradient: gradient.slice() };
    inner.set(forward.inner);
    backward(null);
    expect(gradient).toEqual(results.gradient);
    return results;
  }

  it("agrees with the reference over odd sizes and touches no other pair", () => {
    const shapes = [1, 3, 4, 5, 13, 300].flatMap((pairs) =>
      [1, 4, 6, 33].flatMap((width) => [1, 5, 8, 19].map((hidden) => [pairs, width, hidden] as const)),
    );
    for (const [pairs, width, hidden] of [...shapes, [3, 70, 700], [3, 700, 70]] as const) {
      const [actual, expected] = [run(wasm, pairs, width, hidden), run(reference, pairs, width, hidden)];
      for (const [name, values] of Object.entries(expected)) {
        // Two products one after the other and sums over pairs, of numbers below 6.6.
        const largest = values.reduce(
          (most, value) => (Number.isNaN(value) ? most : Math.max(most, Math.abs(value))),
          1,
        );
        const found = actual[name as keyof typeof actual];
        for (const [i, value] of values.entries()) {
          if (Number.isNaN(value)) expect(found[i], `${name}[${i}]`).toBeNaN();
          else if (!(Math.abs(found[i] - value) < 1e-5 * largest)) expect(found[i], `${name}[${i}]`).toBe(value);
        }
      }
    }
  });

  it("computes a small case by hand", () => {
    for (const kernels of [reference, wasm]) {
      // One input x = 2, two hidden units: A = (1, −1), a = (0.5, 0.5), B = (3, 4)ᵀ, b = 10.
      const parameters = float32(kernels, [1, -1, 0.5, 0.5, 3, 4, 10]);
      const [inner, output] = [float32(kernels, [0, 0]), float32(kernels, [0])];
      const [tokens, token] = [float32(kernels, [2]), int32(kernels, [0])];
      kernels.expertForward(tokens, token, 0, 1, parameters, 1, 2, inner, output);
      expect([...inner, ...output]).toEqual([2.5, 0, 17.5]);
      const [tokenGradient, gradient] = [float32(kernels, [0]), float32(kernels, new Array(7).fill(0))];
      const [gate, ofOutput] = [float32(kernels, [0.5]), float32(kernels, [8])];
      kernels.expertBackward(tokens, token, gate, 0, 1, parameters, 1, 2, inner, ofOutput, tokenGradient, gradient);
      // δ = 4, γ = (12, 0).
      expect(Array.from(gradient)).toEqual([24, 0, 12, 0, 10, 0, 4]);
      expect(Array.from(tokenGradient)).toEqual([12]);
    }
  });
});

it("adds up rows by pairs, weighted or not, and leaves out slots without one", () => {
  for (const columns of [1, 4, 7]) {
    const results = [reference, wasm].map((kernels) => {
      const values = float32(kernels, normals(1, 3 * columns));
      const pair = int32(kernels, [2, 0, -1, 1, -1, -1]);
      return [float32(kernels, [0.5, 2, -1]), null].map((weight) => {
        const out = float32(kernels, normals(2, 3 * columns));
        kernels.combineRows(values, pair, weight, 3, 2, columns, out);
        const [value, start] = [normals(1, 3 * columns), normals(2, 3 * columns)];
        const [first, third] = weight === null ? [1, 1] : [0.5, -1];
        expect(out[0]).toBeCloseTo(start[0] + third * value[2 * columns] + first * value[0], 5);
        expect(out[2 * columns]).toBe(Math.fround(start[2 * columns]));
        return out;
      });
    });
    for (const [i, out] of results[1].entries()) expectClose(out, results[0][i], 20, 4);
  }
});

it("takes products of rows, sums of columns, and adds rows to those of a table", () => {
  for (const columns of [1, 3, 4, 9]) {
    const [first, second] = [reference, wasm].map((kernels) => {
      const left = float32(kernels, normals(3, 5 * columns));
      const right = float32(kernels, normals(4, 3 * columns));
      const index = int32(kernels, [2, 0, 0, 1, 2]);
      const products = float32(kernels, new Array(5).fill(0));
      kernels.rowProducts(left, right, index, 5, columns, products);
      const sums = float32(kernels, new Array(columns).fill(9));
      kernels.sumRows(left, 5, columns, sums);
      kernels.scatterRows(left, index, 5, columns, right);
      return [products, sums, right];
    });
    for (const [i, values] of second.entries()) expectClose(values, first[i], 10 * columns, 5);
  }
  const table = float32(wasm, [1, 2, 3, 4]);
  wasm.scatterRows(float32(wasm, [10, 20, 30, 40]), int32(wasm, [1, 1]), 2, 2, table);
  expect(Array.from(table)).toEqual([1, 2, 43, 64]);
});

describe("losses", () => {
  it("have the cross-entropy and its gradient, in place too, and NaN for what is not finite", () => {
    for (const [rows, columns] of [
      [1, 2],
      [5, 1],
      [7, 5],
      [3, 33],
      [2, 256],
    ] as const) {
      for (const scale of [1, 30, 1e4]) {
        const given = normals(rows, rows * columns).map((value) => scale * value);
        const target = Array.from({ length: rows }, (_, row) => (5 * row) % columns);
        const [expected, actual] = [reference, wasm].map((kernels) => {
          const [logits, gradient] = [float32(kernels, given), float32(kernels, given)];
          const loss = kernels.crossEntropy(logits, int32(kernels, target), rows, columns, gradient);
          expect(kernels.crossEntropy(logits, int32(kernels, target), rows, columns, logits)).toBe(loss);
          expect(logits).toEqual(gradient);
          return { loss, gradient };
        });
        // Weights have a relative error of 1e-7 each.
        expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(3e-7 * (1 + expected.loss));
        expectClose(actual.gradient, expected.gradient, 1 / rows, 10);
      }
    }
    for (const kernels of [reference, wasm]) {
      for (const bad of [Number.NaN, Infinity, -Infinity]) {
        for (let at = 0; at < 6; at++) {
          const logits = float32(kernels, [1, 2, 3, 4, 5, 6].with(at, bad));
          expect(kernels.crossEntropy(logits, int32(kernels, [0]), 1, 6, logits)).toBeNaN();
        }
      }
    }
  });

  it("have the mean squared error and its gradient", () => {
    for (const kernels of [reference, wasm]) {
      const [values, targets] = [float32(kernels, [1, 2, 3, 4, 6]), float32(kernels, [1, 0, 3, 5, 3])];
      expect(kernels.squaredError(values, targets, 5, values)).toBeCloseTo(14 / 5, 6);
      for (const [i, gradient] of [0, 0.8, 0, -0.4, 1.2].entries()) expect(values[i]).toBeCloseTo(gradient, 6);
    }
  });
});

it("moves parameters as TensorFlow.js's own Adam does", async () => {
  const tf = await loadTensors("cpu");
  for (const kernels of [reference, wasm]) {
    const values = float32(kernels, normals(1, 13));
    const [first, second] = [kernels.allocateFloat32(13), kernels.allocateFloat32(13)];
    const theirs = tf.variable(tf.tensor1d(values.slice()));
    const optimiser = tf.train.adam(0.02);
    for (let count = 1; count <= 30; count++) {
      const gradient = float32(
        kernels,
        normals(count, 13).map((value) => value * 10 ** ((count % 5) - 3)),
      );
      kernels.adam(values, first, second, gradient, 13, 0.02 / (1 - 0.9 ** count), 1 / (1 - 0.999 ** count));
      optimiser.applyGradients([{ name: theirs.name, tensor: tf.tensor1d(gradient.slice()) }]);
      // Thirty float32 steps of at most about 0.02 each; the other adds its ε in front of another factor.
      const expected = theirs.dataSync();
      for (let i = 0; i < 13; i++) expect(values[i]).toBeCloseTo(expected[i], 4);
    }
  }
});
