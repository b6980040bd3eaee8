import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import {
  createExpertBias,
  type ExpertBiasOptions,
  expertBiasProblems,
} from "../../../../src/core/routers/parts/expert-bias.ts";
import type { TokenBatch } from "../../../../src/core/token-batch.ts";

const shape = { tokens: 8, experts: 4, topK: 1, capacityFactor: 1 };
const defaults: ExpertBiasOptions = {
  updateRule: "sign",
  updateRate: 0.5,
  schedule: "constant",
  center: false,
  updateEvery: 1,
  kappa: 2,
  momentum: 0.5,
  decaySteps: 4,
};

function batchOf(tokens: number): TokenBatch {
  return { step: 0, tokens, experts: shape.experts, logits: new Float32Array(0) };
}

function create(options: Partial<ExpertBiasOptions> = {}) {
  return createExpertBias(createReferenceKernels(), shape, { ...defaults, ...options });
}

describe("createExpertBias", () => {
  it("starts at zero", () => {
    expect(Array.from(create().values)).toEqual([0, 0, 0, 0]);
  });

  it("raises experts below the target load and lowers those above, by the sign alone", () => {
    const bias = create();
    bias.learn(Int32Array.of(8, 0, 2, 0), batchOf(10));
    // The target load is 2.5.
    expect(Array.from(bias.values)).toEqual([-0.5, 0.5, 0.5, 0.5]);
  });

  it("moves by the error per token when proportional", () => {
    const bias = create({ updateRule: "proportional" });
    bias.learn(Int32Array.of(8, 0, 2, 0), batchOf(10));
    expect(Array.from(bias.values)).toEqual([-0.275, 0.125, 0.025, 0.125]);
  });

  it("shrinks the rate with the number of updates", () => {
    const load = Int32Array.of(8, 0, 0, 0);
    const lowered = (schedule: ExpertBiasOptions["schedule"]) => {
      const bias = create({ schedule });
      return [1, 2, 3].map(() => {
        bias.learn(load, batchOf(8));
        return bias.values[1];
      });
    };
    expect(lowered("constant")).toEqual([0.5, 1, 1.5]);
    expect(lowered("inverse")).toEqual([0.5, 0.75, 0.75 + 0.5 / 3]);
    expect(lowered("inverse-sqrt")).toEqual([0.5, 0.5 + 0.5 / Math.SQRT2, 0.5 + 0.5 / Math.SQRT2 + 0.5 / Math.sqrt(3)]);
  });

  it("falls to 0 along half a cosine and stays there", () => {
    const bias = create({ schedule: "cosine" });
    const steps = [1, 2, 3, 4, 5].map(() => {
      const before = bias.values[1];
      bias.learn(Int32Array.of(8, 0, 0, 0), batchOf(8));
      return bias.values[1] - before;
    });
    const expected = [1, 2, 3].map((n) => 0.25 * (1 + Math.cos((Math.PI * n) / 4)));
    [...expected, 0, 0].forEach((value, i) => {
      expect(steps[i]).toBeCloseTo(value, 15);
    });
  });

  it("moves by smebu's centred momentum: the values of the paper's rule, computed by hand", () => {
    const bias = create({ updateRule: "smebu", updateRate: 0.1 });
    bias.learn(Int32Array.of(4, 3, 1, 8), batchOf(16));
    // The target load is 4, and (L − A)/L is 0, ¼, ¾, −1; tanh of twice that, less the mean, by ½·0.1.
    const tanh = [0, 0.46211716, 0.90514825, -0.96402758];
    const mean = 0.10080946;
    tanh.forEach((value, e) => {
      expect(bias.values[e]).toBeCloseTo(0.05 * (value - mean), 9);
    });
    expect(Array.from(bias.values, (value) => Number(value.toFixed(4)))).toEqual([-0.005, 0.0181, 0.0402, -0.0532]);
    // The same loads again: m = ½·m + ½·d, so that b has moved by 1 and then by 1½ of the first step.
    const before = Array.from(bias.values);
    bias.learn(Int32Array.of(4, 3, 1, 8), batchOf(16));
    before.forEach((value, e) => {
      expect(bias.values[e]).toBeCloseTo(2.5 * value, 15);
    });
  });

  it("has the centred sign update that was computed by hand", () => {
    const bias = create({ updateRate: 0.1, center: true });
    bias.learn(Int32Array.of(4, 3, 1, 8), batchOf(16));
    [-0.025, 0.075, 0.075, -0.125].forEach((value, e) => {
      expect(bias.values[e]).toBeCloseTo(value, 15);
    });
  });

  it("freezes after as many batches as it is told, a pending update with it", () => {
    const bias = create({ freezeAfter: 3, updateEvery: 2 });
    const seen = [1, 2, 3, 4, 5].map(() => {
      bias.learn(Int32Array.of(8, 0, 0, 0), batchOf(8));
      return bias.values[1];
    });
    expect(seen).toEqual([0, 0.5, 0.5, 0.5, 0.5]);
    const frozen = create({ freezeAfter: 0 });
    frozen.learn(Int32Array.of(8, 0, 0, 0), batchOf(8));
    expect(Array.from(frozen.values)).toEqual([0, 0, 0, 0]);
  });

  it("starts from the bias it is given, which must be one number an expert", () => {
    expect(Array.from(create({ initialBias: [1, 2, 3, 4] }).values)).toEqual([1, 2, 3, 4]);
    expect(expertBiasProblems({ initialBias: [1, 2] }, shape)).toEqual([
      { path: ["initialBias"], message: "2 numbers for 4 experts" },
    ]);
    expect(expertBiasProblems({ initialBias: [1, 2, 3, 4] }, shape)).toEqual([]);
    expect(expertBiasProblems({}, shape)).toEqual([]);
  });

  it("leaves experts that no token can have alone, and balances the others", () => {
    const bias = create({ center: true, initialBias: [5, 0, 0, 0] });
    const none = Number.NEGATIVE_INFINITY;
    const logits = Float32Array.of(none, 1, 0, 0, none, 1, none, 0, none, 1, 0, 0);
    // The target load of three experts is 1: with four it would be 0.75.
    bias.learn(Int32Array.of(0, 3, 0, 0), { step: 0, tokens: 3, experts: 4, logits, hasDisabled: true });
    expect(bias.values[0]).toBe(5);
    [-2 / 3, 1 / 3, 1 / 3].forEach((value, i) => {
      expect(bias.values[i + 1]).toBeCloseTo(value, 15);
    });
  });

  it("counts updates, not batches, in its schedule", () => {
    const bias = create({ schedule: "inverse", updateEvery: 2 });
    for (let batch = 0; batch < 4; batch++) bias.learn(Int32Array.of(8, 0, 0, 0), batchOf(8));
    expect(bias.values[1]).toBe(0.75);
  });

  it("waits for `updateEvery` batches and then weighs their tokens together", () => {
    const bias = create({ updateRule: "proportional", updateEvery: 2 });
    bias.learn(Int32Array.of(6, 0, 0, 0), batchOf(6));
    expect(Array.from(bias.values)).toEqual([0, 0, 0, 0]);
    bias.learn(Int32Array.of(0, 1, 1, 0), batchOf(2));
    // Load 6, 1, 1, 0 of 8 tokens, target load 2.
    expect(Array.from(bias.values)).toEqual([-0.25, 0.0625, 0.0625, 0.125]);
  });

  it("has mean zero after a centred update", () => {
    const bias = create({ center: true });
    bias.learn(Int32Array.of(8, 0, 2, 0), batchOf(10));
    expect(Array.from(bias.values)).toEqual([-0.75, 0.25, 0.25, 0.25]);
  });

  it("continues from a state in the middle of an accumulation", () => {
    const options = { updateEvery: 3, schedule: "inverse" } as const;
    const bias = create(options);
    for (let batch = 0; batch < 4; batch++) bias.learn(Int32Array.of(8, 0, batch, 0), batchOf(8 + batch));
    const copy = create(options);
    copy.restore(JSON.parse(JSON.stringify(bias.state())));
    expect(copy.state()).toEqual(bias.state());
    for (const each of [bias, copy]) {
      each.learn(Int32Array.of(0, 8, 0, 0), batchOf(8));
      each.learn(Int32Array.of(0, 3, 0, 0), batchOf(3));
    }
    expect(Array.from(copy.values)).toEqual(Array.from(bias.values));
    expect(copy.state()).toEqual(bias.state());
  });

  it("hands out a state that later batches do not change", () => {
    const bias = create({ updateEvery: 2 });
    const saved = bias.state();
    const before = structuredClone(saved);
    bias.learn(Int32Array.of(8, 0, 0, 0), batchOf(8));
    bias.learn(Int32Array.of(8, 0, 0, 0), batchOf(8));
    expect(saved).toEqual(before);
  });

  it("refuses a state of another size or with missing fields", () => {
    const bias = create();
    const state = bias.state();
    expect(() => bias.restore({ ...state, bias: [0, 0] })).toThrow(RangeError);
    expect(() => bias.restore({ ...state, pendingLoad: [0, 0] })).toThrow(RangeError);
    expect(() => bias.restore({ bias: [0, 0, 0, 0] })).toThrow();
  });
});
