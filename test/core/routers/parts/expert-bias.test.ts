import { describe, expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createExpertBias, type ExpertBiasOptions } from "../../../../src/core/routers/parts/expert-bias.ts";

const shape = { tokens: 8, experts: 4, topK: 1, capacityFactor: 1 };
const defaults: ExpertBiasOptions = {
  updateRule: "sign",
  updateRate: 0.5,
  schedule: "constant",
  center: false,
  updateEvery: 1,
};

function create(options: Partial<ExpertBiasOptions> = {}) {
  return createExpertBias(createReferenceKernels(), shape, { ...defaults, ...options });
}

describe("createExpertBias", () => {
  it("starts at zero", () => {
    expect(Array.from(create().values)).toEqual([0, 0, 0, 0]);
  });

  it("raises experts below the target load and lowers those above, by the sign alone", () => {
    const bias = create();
    bias.learn(Int32Array.of(8, 0, 2, 0), 10);
    // The target load is 2.5.
    expect(Array.from(bias.values)).toEqual([-0.5, 0.5, 0.5, 0.5]);
  });

  it("moves by the error per token when proportional", () => {
    const bias = create({ updateRule: "proportional" });
    bias.learn(Int32Array.of(8, 0, 2, 0), 10);
    expect(Array.from(bias.values)).toEqual([-0.275, 0.125, 0.025, 0.125]);
  });

  it("shrinks the rate with the number of updates", () => {
    const load = Int32Array.of(8, 0, 0, 0);
    const lowered = (schedule: ExpertBiasOptions["schedule"]) => {
      const bias = create({ schedule });
      return [1, 2, 3].map(() => {
        bias.learn(load, 8);
        return bias.values[1];
      });
    };
    expect(lowered("constant")).toEqual([0.5, 1, 1.5]);
    expect(lowered("inverse")).toEqual([0.5, 0.75, 0.75 + 0.5 / 3]);
    expect(lowered("inverse-sqrt")).toEqual([0.5, 0.5 + 0.5 / Math.SQRT2, 0.5 + 0.5 / Math.SQRT2 + 0.5 / Math.sqrt(3)]);
  });

  it("counts updates, not batches, in its schedule", () => {
    const bias = create({ schedule: "inverse", updateEvery: 2 });
    for (let batch = 0; batch < 4; batch++) bias.learn(Int32Array.of(8, 0, 0, 0), 8);
    expect(bias.values[1]).toBe(0.75);
  });

  it("waits for `updateEvery` batches and then weighs their tokens together", () => {
    const bias = create({ updateRule: "proportional", updateEvery: 2 });
    bias.learn(Int32Array.of(6, 0, 0, 0), 6);
    expect(Array.from(bias.values)).toEqual([0, 0, 0, 0]);
    bias.learn(Int32Array.of(0, 1, 1, 0), 2);
    // Load 6, 1, 1, 0 of 8 tokens, target load 2.
    expect(Array.from(bias.values)).toEqual([-0.25, 0.0625, 0.0625, 0.125]);
  });

  it("has mean zero after a centred update", () => {
    const bias = create({ center: true });
    bias.learn(Int32Array.of(8, 0, 2, 0), 10);
    expect(Array.from(bias.values)).toEqual([-0.75, 0.25, 0.25, 0.25]);
  });

  it("continues from a state in the middle of an accumulation", () => {
    const options = { updateEvery: 3, schedule: "inverse" } as const;
    const bias = create(options);
    for (let batch = 0; batch < 4; batch++) bias.learn(Int32Array.of(8, 0, batch, 0), 8 + batch);
    const copy = create(options);
    copy.restore(JSON.parse(JSON.stringify(bias.state())));
    expect(copy.state()).toEqual(bias.state());
    for (const each of [bias, copy]) {
      each.learn(Int32Array.of(0, 8, 0, 0), 8);
      each.learn(Int32Array.of(0, 3, 0, 0), 3);
    }
    expect(Array.from(copy.values)).toEqual(Array.from(bias.values));
    expect(copy.state()).toEqual(bias.state());
  });

  it("hands out a state that later batches do not change", () => {
    const bias = create({ updateEvery: 2 });
    const saved = bias.state();
    const before = structuredClone(saved);
    bias.learn(Int32Array.of(8, 0, 0, 0), 8);
    bias.learn(Int32Array.of(8, 0, 0, 0), 8);
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
