import { describe, expect, it } from "vitest";
import { createAdam } from "../../../../src/core/transport/optimise/adam.ts";

const ones = (n: number) => new Float64Array(n).fill(1);
const slope = (slopes: readonly number[]) => (_x: Float64Array, gradient: Float64Array) => {
  gradient.set(slopes);
  return 0;
};

describe("createAdam", () => {
  it("takes steps of the learning rate against a constant gradient of any size", () => {
    const x = Float64Array.of(1, 1, 1);
    createAdam(3).minimize(slope([5, -1e3, 0]), x, ones(3), { maxIterations: 7, learningRate: 0.01 });
    expect(x[0]).toBeCloseTo(0.93, 9);
    expect(x[1]).toBeCloseTo(1.07, 9);
    expect(x[2]).toBe(1);
  });

  it("follows its formula where the gradient changes, here x³ from 1, by hand", () => {
    const x = Float64Array.of(1);
    const seen: number[] = [];
    createAdam(1).minimize(
      (at, gradient) => {
        seen.push(at[0]);
        gradient[0] = 3 * at[0] ** 2;
        return at[0] ** 3;
      },
      x,
      ones(1),
      { maxIterations: 2, learningRate: 0.5 },
    );
    // m₁ = 0.3, v₁ = 0.009: a step of 0.5. Then g = 0.75: m₂ = 0.345, v₂ = 0.0095535.
    expect(seen[1]).toBeCloseTo(0.5, 8);
    expect(seen).toHaveLength(2);
    expect(x[0]).toBeCloseTo(0.5 - (0.5 * (0.345 / 0.19)) / Math.sqrt(0.0095535 / 0.001999), 7);
  });

  it("scales the steps of each variable, and remembers nothing of the problem before", () => {
    const adam = createAdam(4);
    adam.minimize(slope([1, 2, 3, 4]), new Float64Array(4), ones(4), { maxIterations: 9, learningRate: 1 });
    const x = Float64Array.of(0, 0);
    adam.minimize(slope([-1, 1]), x, Float64Array.of(1, 3), { maxIterations: 1, learningRate: 0.1 });
    expect(x[0]).toBeCloseTo(0.1, 8);
    expect(x[1]).toBeCloseTo(-0.3, 8);
    adam.minimize(slope([1, 1]), x.fill(2), ones(2), { maxIterations: 0, learningRate: 0.1 });
    expect(Array.from(x)).toEqual([2, 2]);
  });
});
