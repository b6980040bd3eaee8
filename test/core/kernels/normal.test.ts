import { describe, expect, it } from "vitest";
import type { Kernels } from "../../../src/core/kernels/kernels.ts";
import { createReferenceKernels } from "../../../src/core/kernels/reference.ts";
import { createWasmKernels } from "../../../src/core/kernels/wasm.ts";
import { generatorState } from "./matrices.ts";

const wasm = createWasmKernels();
const reference = createReferenceKernels();

function drawn(kernels: Kernels, state: ArrayLike<number>, length: number): { out: Float32Array; state: number[] } {
  const words = kernels.allocateUint32(16);
  words.set(state);
  const out = kernels.allocateFloat32(length);
  kernels.fillNormal(words, out, length);
  return { out, state: Array.from(words) };
}

/** One generator by 64-bit integers, from the definition: xoshiro128++ 1.0. */
function xoshiro(seed: number[]): () => number {
  let [a, b, c, d] = seed.map(BigInt);
  const mask = 0xffffffffn;
  const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (32n - by))) & mask;
  return () => {
    const word = (rotate((a + d) & mask, 7n) + a) & mask;
    const shifted = (b << 9n) & mask;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11n);
    return Number(word);
  };
}

describe("fillNormal", () => {
  it("is Box–Muller of four interleaved xoshiro128++ generators", () => {
    const state = generatorState(1);
    const generators = [0, 1, 2, 3].map((g) => xoshiro([state[g], state[4 + g], state[8 + g], state[12 + g]]));
    const expected: number[] = [];
    for (let round = 0; round < 50; round++) {
      // 31 bits of the first word are the radius; the second is half a circle's side and 31 bits of the angle in it.
      const radius = generators.map((next) => Math.sqrt(-2 * Math.log((Math.floor(next() / 2) + 1) / 2 ** 31)));
      const word = generators.map((next) => next());
      const angle = word.map((w) => (Math.PI * ((2 * w + 2 ** 31) % 2 ** 32)) / 2 ** 32 - Math.PI / 2);
      const side = word.map((w) => (w < 2 ** 31 ? 1 : -1));
      expected.push(...radius.map((r, g) => r * side[g] * Math.cos(angle[g])));
      expected.push(...radius.map((r, g) => r * Math.sin(angle[g])));
    }
    for (const kernels of [reference, wasm]) {
      const { out } = drawn(kernels, state, expected.length);
      // Uniforms rounded to float32: 2^−25 relative in the angle (up to π/2·6 = 10 times 3e-8) and in the radius.
      for (let i = 0; i < expected.length; i++) expect(Math.abs(out[i] - expected[i])).toBeLessThan(4e-6);
    }
  });

  it("gives the same stream from the same state in both implementations, whatever the length", () => {
    for (const length of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 100_003]) {
      const expected = drawn(reference, generatorState(length), length);
      const actual = drawn(wasm, generatorState(length), length);
      expect(actual.state).toEqual(expected.state);
      let worst = 0;
      for (let i = 0; i < length; i++) worst = Math.max(worst, Math.abs(actual.out[i] - expected.out[i]));
      // A few units of float32 at the largest |out| of 6.6, 4.8e-7 each.
      expect(worst).toBeLessThan(2e-6);
    }
  });

  it("writes nothing past the length", () => {
    for (const kernels of [reference, wasm]) {
      for (let length = 0; length < 17; length++) {
        const out = kernels.allocateFloat32(24).fill(99);
        const words = kernels.allocateUint32(16);
        words.set(generatorState(3));
        kernels.fillNormal(words, out, length);
        expect(Array.from(out.slice(length))).toEqual(new Array(24 - length).fill(99));
        expect(out.slice(0, length)).not.toContain(99);
      }
    }
  });

  it("continues where it stopped, and repeats from an equal state", () => {
    const whole = drawn(wasm, generatorState(5), 64).out;
    const first = drawn(wasm, generatorState(5), 32);
    const second = drawn(wasm, first.state, 32);
    expect([...first.out, ...second.out]).toEqual(Array.from(whole));
    expect(drawn(wasm, generatorState(5), 64).out).toEqual(whole);
  });

  it("has the moments of independent standard normals", () => {
    const n = 1_000_000;
    const { out } = drawn(wasm, generatorState(6), n);
    let [sum, square, cube, fourth] = [0, 0, 0, 0];
    for (const x of out) {
      sum += x;
      square += x * x;
      cube += x ** 3;
      fourth += x ** 4;
    }
    // Five standard errors each: those of the raw moments are √1, √2, √15 and √96 over √n.
    const bound = 5 / Math.sqrt(n);
    expect(Math.abs(sum / n)).toBeLessThan(bound);
    expect(Math.abs(square / n - 1)).toBeLessThan(bound * Math.SQRT2);
    expect(Math.abs(cube / n)).toBeLessThan(bound * Math.sqrt(15));
    expect(Math.abs(fourth / n - 3)).toBeLessThan(bound * Math.sqrt(96));
    for (const lag of [1, 2, 3, 4, 5, 7, 8, 16]) {
      let [correlation, ofSquares] = [0, 0];
      for (let i = lag; i < n; i++) {
        correlation += out[i] * out[i - lag];
        ofSquares += (out[i] ** 2 - 1) * (out[i - lag] ** 2 - 1);
      }
      expect(Math.abs(correlation / n)).toBeLessThan(bound);
      // Cosine and sine of one radius are uncorrelated and, for normals, so are their squares (variance 4).
      expect(Math.abs(ofSquares / n)).toBeLessThan(bound * 2);
    }
  });

  it("follows the normal distribution function", () => {
    const n = 1_000_000;
    const { out } = drawn(wasm, generatorState(7), n);
    const probability: Record<number, number> = {
      [-3]: 0.0013498980316,
      [-1]: 0.15865525393,
      0: 0.5,
      2: 0.97724986805,
    };
    for (const [bound, expected] of Object.entries(probability)) {
      const share = out.reduce((count, x) => count + (x < Number(bound) ? 1 : 0), 0) / n;
      expect(Math.abs(share - expected)).toBeLessThan(5 * Math.sqrt((expected * (1 - expected)) / n));
    }
  });

  it("is finite at the ends of the uniforms' range", () => {
    // With words 0 and 3 zero the first output is 0: radius √(62 ln 2). All-ones words wrap around at the other end.
    for (const words of [
      [0, 1, 2, 0],
      [0xffffffff, 5, 6, 0xffffffff],
      [0x80000000, 1, 1, 0x80000000],
    ]) {
      const state = words.flatMap((word) => [word, word, word, word]);
      for (const kernels of [reference, wasm]) {
        for (const x of drawn(kernels, state, 16).out) expect(Math.abs(x)).toBeLessThan(6.6);
      }
    }
  });
});

describe("addNormal", () => {
  for (const kernels of [reference, wasm]) {
    it(`adds the normals that fillNormal draws, and advances as it does: ${kernels.backend}`, () => {
      const deviation = 0.37;
      for (const length of [1, 2, 3, 4, 5, 7, 8, 9, 31, 511, 512, 513, 2000]) {
        const { out: normals, state } = drawn(kernels, generatorState(length), length);
        const values = kernels.allocateFloat32(length + 3);
        values.forEach((_, i) => {
          values[i] = Math.fround(Math.sin(i) * 20);
        });
        const words = kernels.allocateUint32(16);
        words.set(generatorState(length));
        const out = kernels.allocateFloat32(length + 3).fill(99);
        kernels.addNormal(words, values, deviation, length, out);
        expect(Array.from(words)).toEqual(state);
        // Three roundings to float32: of the deviation, its product and the sum.
        for (let i = 0; i < length; i++) {
          const error = Math.abs(out[i] - (values[i] + deviation * normals[i]));
          expect(error).toBeLessThan(2 ** -24 * (Math.abs(out[i]) + 2 * deviation * Math.abs(normals[i])) * 1.001);
        }
        expect(Array.from(out.slice(length))).toEqual([99, 99, 99]);
      }
    });

    it(`writes in place, and the values themselves with no deviation: ${kernels.backend}`, () => {
      const words = kernels.allocateUint32(16);
      words.set(generatorState(8));
      const values = kernels.allocateFloat32(1100).map((_, i) => i / 7);
      const out = kernels.allocateFloat32(1100);
      out.set(values);
      kernels.addNormal(words, out, 0, out.length, out);
      expect(Array.from(out)).toEqual(Array.from(values));
    });
  }
});
