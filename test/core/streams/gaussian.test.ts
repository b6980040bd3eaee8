import { expect, test } from "vitest";
import { gaussianKind } from "../../../src/core/streams/gaussian.ts";
import { generate, standardErrors } from "./stream-context.ts";

/** Popularity times skew, which is all that is left without noise. */
async function offsets(options: Record<string, unknown>, experts: number, seed = 1): Promise<Float32Array> {
  const [logits] = await generate(gaussianKind, { ...options, temperature: 0 }, { steps: 1, tokens: 1, experts }, seed);
  return logits;
}

test("zipf popularity is skew over a power of the rank, in an order drawn by the seed", async () => {
  const drawn = await offsets({ popularity: "zipf", exponent: 1.5, skew: 3 }, 32);
  const expected = Float32Array.from({ length: 32 }, (_, rank) => 3 * (rank + 1) ** -1.5);
  expect(drawn.toSorted((a, b) => b - a)).toEqual(expected);
  expect(drawn).not.toEqual(expected);
  expect(await offsets({ popularity: "zipf", exponent: 1.5, skew: 3 }, 32, 2)).not.toEqual(drawn);
});

test("uniform popularity has the mean and variance of the uniform law on [0, skew)", async () => {
  const experts = 4096;
  const drawn = await offsets({ popularity: "uniform", skew: 3 }, experts);
  expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...drawn)).toBeLessThanOrEqual(3);
  const mean = drawn.reduce((sum, value) => sum + value) / experts;
  const variance = drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / experts;
  expect(Math.abs(mean - 1.5)).toBeLessThan((standardErrors * 3) / Math.sqrt(12 * experts));
  // The fourth central moment of the law is 9²/80, so Var(variance) = (81/80 − (9/12)²)/n.
  expect(Math.abs(variance - 9 / 12)).toBeLessThan(standardErrors * Math.sqrt((81 / 80 - 0.75 ** 2) / experts));
});

test("noise has mean 0 and the temperature as standard deviation, on every expert", async () => {
  const experts = 6;
  const options = { popularity: "uniform", skew: 2, temperature: 0.7 };
  const offset = await offsets(options, experts);
  const batches = await generate(gaussianKind, options, { steps: 20, tokens: 1000, experts });
  const samples = 20_000;
  for (let e = 0; e < experts; e++) {
    let sum = 0;
    let squares = 0;
    for (const logits of batches) {
      for (let entry = e; entry < logits.length; entry += experts) {
        sum += logits[entry] - offset[e];
        squares += (logits[entry] - offset[e]) ** 2;
      }
    }
    expect(Math.abs(sum / samples)).toBeLessThan((standardErrors * 0.7) / Math.sqrt(samples));
    // The variance of a squared normal is 2σ⁴.
    expect(Math.abs(squares / samples - 0.49)).toBeLessThan(standardErrors * 0.49 * Math.sqrt(2 / samples));
  }
});

test("noise of neighbouring experts, tokens and steps is uncorrelated", async () => {
  const experts = 8;
  const batches = await generate(gaussianKind, { skew: 0 }, { steps: 10, tokens: 500, experts });
  const noise = Float64Array.from(batches.flatMap((logits) => Array.from(logits)));
  for (const lag of [1, 2, experts, 500 * experts]) {
    let products = 0;
    for (let i = lag; i < noise.length; i++) products += noise[i] * noise[i - lag];
    const pairs = noise.length - lag;
    expect(Math.abs(products / pairs), `lag ${lag}`).toBeLessThan(standardErrors / Math.sqrt(pairs));
  }
});
