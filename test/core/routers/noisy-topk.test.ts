import { describe, expect, it } from "vitest";
import { countLoad, largestIndices } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

/** Noise levels by the definition, log(1 + e^x), where that neither overflows nor cancels. */
const softplus = (x: number) => Math.log(1 + Math.exp(x));

describe("noisy-topk", () => {
  it.each([-2, 1, 3])("adds normal noise of standard deviation softplus(%d) to every logit", (noiseScale) => {
    const shape = { tokens: 5000, experts: 4, topK: 4, capacityFactor: 1 };
    const { expert, gate } = createRouterUnderTest("noisy-topk", shape, { options: { noiseScale } }).route(
      new Float32Array(shape.tokens * shape.experts),
    );
    // With K = E the gates are the softmax of the noisy logits: differences of their logarithms are those of the noise.
    const differences = expert.flatMap((row, token) => {
      const noise = (e: number) => Math.log(gate[token][row.indexOf(e)]);
      return [noise(0) - noise(1), noise(2) - noise(3)];
    });
    const deviation = Math.SQRT2 * softplus(noiseScale);
    const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
    const variance = differences.reduce((sum, value) => sum + value * value, 0) / differences.length;
    const fourth = differences.reduce((sum, value) => sum + value ** 4, 0) / differences.length;
    // Five standard errors of 10⁴ normals: σ/100, σ²·√2/100, and √96/100 for the fourth moment of a standard normal.
    expect(Math.abs(mean) / deviation).toBeLessThan(0.05);
    expect(Math.abs(variance / deviation ** 2 - 1)).toBeLessThan(0.071);
    expect(Math.abs(fourth / deviation ** 4 - 3)).toBeLessThan(0.49);
  });

  it("draws noise anew for every token, expert and batch", () => {
    const shape = { tokens: 50, experts: 3, topK: 3, capacityFactor: 1 };
    const router = createRouterUnderTest("noisy-topk", shape);
    const gates = [1, 2].flatMap(() => router.route(new Float32Array(150)).gate.map(String));
    expect(new Set(gates).size).toBe(100);
  });

  it("prefers the better expert as often as two normals say", () => {
    const shape = { tokens: 20_000, experts: 2, topK: 1, capacityFactor: 1 };
    const logits = Float32Array.from({ length: 40_000 }, (_, entry) => (entry % 2 === 0 ? 1 : 0));
    // softplus(log(e^(1/√2) − 1)) = 1/√2: the difference of the noises is standard normal, and Φ(1) = 0.8413.
    const options = { noiseScale: Math.log(Math.exp(Math.SQRT1_2) - 1) };
    const { load } = createRouterUnderTest("noisy-topk", shape, { options }).route(logits);
    // Five standard errors: √(0.8413 · 0.1587 / 20000) ≈ 0.0026.
    expect(Math.abs(load[0] / shape.tokens - 0.8413)).toBeLessThan(0.013);
  });

  it("gates by the softmax of the selected noisy logits in descending order, which sums to 1", () => {
    const shape = { tokens: 40, experts: 6, topK: 2, capacityFactor: 1 };
    const logits = randomLogits("noisy", shape.tokens, shape.experts);
    const few = createRouterUnderTest("noisy-topk", shape).route(logits);
    const all = createRouterUnderTest("noisy-topk", { ...shape, topK: 6 }).route(logits);
    few.gate.forEach((gate, token) => {
      expect(few.expert[token]).toEqual(all.expert[token].slice(0, 2));
      const [first, second] = all.gate[token];
      // The same noise: the two largest of all gates, renormalised. Gates are float32.
      expect(gate[0]).toBeCloseTo(first / (first + second), 5);
      expect(gate[0] + gate[1]).toBeCloseTo(1, 6);
      expect(gate[0]).toBeGreaterThanOrEqual(gate[1]);
    });
    expect(few.load).toEqual(countLoad(few.expert, shape.experts));
  });

  it("is plain top-k when the noise vanishes, and stays finite when its scale is extreme", () => {
    const shape = { tokens: 20, experts: 5, topK: 2, capacityFactor: 1 };
    const logits = randomLogits("quiet", shape.tokens, shape.experts);
    const quiet = createRouterUnderTest("noisy-topk", shape, { options: { noiseScale: -1000 } }).route(logits);
    const rows = Array.from({ length: 20 }, (_, token) => Array.from(logits.subarray(token * 5, token * 5 + 5)));
    expect(quiet.expert).toEqual(rows.map((row) => largestIndices(row, 2)));
    const loud = createRouterUnderTest("noisy-topk", shape, { options: { noiseScale: 1000 } }).route(logits);
    expect(loud.gate.flat().every(Number.isFinite)).toBe(true);
  });

  it("gives other noise to another seed and does not ask for the scenario's affinities", () => {
    const shape = { tokens: 20, experts: 5, topK: 2, capacityFactor: 1 };
    const logits = randomLogits("seeds", shape.tokens, shape.experts);
    const route = (seed: string, scores: "softmax" | "sigmoid") =>
      createRouterUnderTest("noisy-topk", shape, { seed, scores }).route(logits);
    expect(route("one", "softmax")).toEqual(route("one", "sigmoid"));
    expect(route("one", "softmax")).not.toEqual(route("two", "softmax"));
  });
});
