import { describe, expect, it } from "vitest";
import { createDualFunction } from "../../../src/core/metrics/dual-function.ts";
import { createDualRegretMeter } from "../../../src/core/metrics/dual-regret.ts";
import { backends } from "../../support/backends.ts";
import { sigmoid } from "../../support/plain.ts";
import { normals } from "../kernels/matrices.ts";

describe.each(backends)("the dual regret on $backend kernels", (kernels) => {
  const [experts, topK, steps] = [5, 2, 6];
  const shape = { tokens: 20, experts, topK, steps, capacityFactor: 1, seed: 3 };

  function batchOf(step: number, tokens: number, width = experts) {
    const logits = kernels.allocateFloat32(tokens * width);
    logits.set(normals(step + 1, tokens * width).map((z, i) => z - (i % width) / 2));
    return { step, tokens, experts: width, logits };
  }

  /** f_n(b) in float64, by sorting. */
  function plainDual(step: number, tokens: number, bias: ArrayLike<number>): number {
    const { logits } = batchOf(step, tokens);
    let value = 0;
    for (let t = 0; t < tokens; t++) {
      const row = Array.from({ length: experts }, (_, e) => sigmoid(logits[t * experts + e]) + bias[e]);
      value += row
        .sort((a, b) => b - a)
        .slice(0, topK)
        .reduce((a, b) => a + b);
    }
    return value / tokens - (topK / experts) * Array.from(bias).reduce((a, b) => a + b);
  }

  const tokensAt = (step: number) => (step === steps - 1 ? 7 : 20);

  function observedMeter() {
    const meter = createDualRegretMeter(kernels, shape, "sigmoid");
    for (let step = 0; step < steps; step++) meter.observe(batchOf(step, tokensAt(step)));
    return meter;
  }

  it("is the sum of the differences of the dual functions, the last batch being shorter", () => {
    const meter = observedMeter();
    const { bias, gap, keptFraction } = meter.hindsight();
    expect(keptFraction).toBe(1);
    const biases = Float64Array.from(normals(50, steps * experts, 0.3));
    const regret = meter.regret(biases);
    let sum = 0;
    for (let step = 0; step < steps; step++) {
      const own = biases.subarray(step * experts, (step + 1) * experts);
      sum += plainDual(step, tokensAt(step), own) - plainDual(step, tokensAt(step), bias);
      // Affinities are kept in float32: 2 of size 1 in each f, rounded to 3e-8 each.
      expect(Math.abs(regret[step] - sum)).toBeLessThan(1e-6);
    }
    expect(regret[steps - 1]).toBeGreaterThan(-gap);
    expect(gap).toBeLessThanOrEqual(1e-6);
  });

  it("never ends below the gap for a fixed bias, and is 0 throughout for the best one", () => {
    const meter = observedMeter();
    const { bias, gap } = meter.hindsight();
    for (let seed = 0; seed < 20; seed++) {
      const fixed = normals(100 + seed, experts, 0.1).map((z, e) => z + bias[e]);
      const regret = meter.regret(Float64Array.from({ length: steps * experts }, (_, i) => fixed[i % experts]));
      expect(regret[steps - 1]).toBeGreaterThan(-gap);
    }
    const best = meter.regret(Float64Array.from({ length: steps * experts }, (_, i) => bias[i % experts]));
    expect(Array.from(best)).toEqual(new Array(steps).fill(0));
  });

  it("does not change when a constant is added to all biases", () => {
    const meter = observedMeter();
    const biases = Float64Array.from(normals(51, steps * experts, 0.3));
    const [plain, shifted] = [biases, biases.map((b) => b + 10)].map((b) => meter.regret(b));
    plain.forEach((value, step) => {
      // Sums of size 20.
      expect(Math.abs(value - shifted[step])).toBeLessThan(1e-12 * 20 * steps);
    });
  });

  it("vanishes for one expert and for as many choices as experts", () => {
    for (const [width, choices] of [
      [1, 1],
      [4, 4],
    ]) {
      const meter = createDualRegretMeter(kernels, { ...shape, experts: width, topK: choices, steps: 2 }, "softmax");
      meter.observe(batchOf(0, 20, width));
      meter.observe(batchOf(1, 20, width));
      for (const value of meter.regret(Float64Array.from(normals(60, 2 * width)))) {
        expect(Math.abs(value)).toBeLessThan(1e-13);
      }
    }
  });

  it("rests on tokens drawn evenly from each batch if the run is large, and says so", () => {
    // Room for 2^25 / (2^21 · 5) = 3 tokens of a step.
    const large = { ...shape, steps: 2 ** 21 };
    const meter = createDualRegretMeter(kernels, large, "sigmoid");
    for (let step = 0; step < 2; step++) meter.observe(batchOf(step, 20));
    const { keptFraction, bias, gap } = meter.hindsight();
    expect(keptFraction).toBe(3 / 20);
    expect(gap).toBeLessThanOrEqual(1e-6);
    const dual = createDualFunction(kernels, large, "softmax");
    const kept = createDualRegretMeter(kernels, { ...shape, tokens: 3, steps: 2 }, "sigmoid");
    for (let step = 0; step < 2; step++) {
      const batch = batchOf(step, 20);
      const tokens = dual.keptTokens(batch);
      expect(tokens.map((token) => Math.floor((token * 3) / 20))).toEqual([0, 1, 2]);
      const rows = kernels.allocateFloat32(3 * experts);
      for (const [i, t] of tokens.entries()) {
        rows.set(batch.logits.subarray(t * experts, (t + 1) * experts), i * experts);
      }
      kept.observe({ step, tokens: 3, experts, logits: rows });
    }
    expect(kept.hindsight().bias).toEqual(bias);
    const biases = Float64Array.from(normals(52, 2 * experts, 0.3));
    expect(meter.regret(biases)).toEqual(kept.regret(biases));
  });

  it("keeps tokens that follow from the seed and the step alone, in step with no period of a batch", () => {
    const large = { ...shape, tokens: 60, steps: 2 ** 21 };
    const dual = createDualFunction(kernels, large, "sigmoid");
    const tokensOn = (step: number, count = 60) => dual.keptTokens(batchOf(step, count));
    // 60 tokens, 3 kept: every 20-th would be tokens 0, 20 and 40 on every step.
    const phases = new Set(Array.from({ length: 20 }, (_, step) => tokensOn(step).map((token) => token % 20)).flat());
    expect(phases.size).toBeGreaterThan(10);
    expect(tokensOn(4)).toEqual(createDualFunction(kernels, large, "softmax").keptTokens(batchOf(4, 60)));
    expect(tokensOn(4)).not.toEqual(
      createDualFunction(kernels, { ...large, seed: 4 }, "sigmoid").keptTokens(batchOf(4, 60)),
    );
    expect(tokensOn(4, 2)).toEqual([0, 1]);
  });
});
