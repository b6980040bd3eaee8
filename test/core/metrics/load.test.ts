import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  biasSpread,
  idleFraction,
  loadCv,
  loadEntropy,
  loadGini,
  loadPerRank,
  maxVio,
  minVio,
  stepTime,
} from "../../../src/core/metrics/load.ts";
import { simulate } from "../../../src/index.ts";

// Sums of at most 64 terms in float64: relative errors stay below 64 · 2⁻⁵³ ≈ 7e-15.
const digits = 12;
const metrics = { maxVio, minVio, loadCv, loadGini, loadEntropy, idleFraction };

const loads = fc.array(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 64 });
const someLoad = loads.filter((load) => load.some((pairs) => pairs > 0));

describe("load metrics of known loads", () => {
  it("find nothing to blame in a balanced load", () => {
    const load = Int32Array.from([5, 5, 5, 5]);
    expect(maxVio(load)).toBe(0);
    expect(minVio(load)).toBe(0);
    expect(loadCv(load)).toBe(0);
    expect(loadGini(load)).toBe(0);
    expect(loadEntropy(load)).toBeCloseTo(1, digits);
    expect(idleFraction(load)).toBe(0);
  });

  it("take their extreme values when one expert has everything", () => {
    const load = Int32Array.from([0, 0, 12, 0]);
    expect(maxVio(load)).toBe(3);
    expect(minVio(load)).toBe(1);
    // √(E − 1), 1 − 1/E.
    expect(loadCv(load)).toBeCloseTo(Math.sqrt(3), digits);
    expect(loadGini(load)).toBeCloseTo(0.75, digits);
    expect(loadEntropy(load)).toBe(0);
    expect(idleFraction(load)).toBe(0.75);
  });

  it("agree with values worked out by hand for the load 1, 2, 3, 4", () => {
    const load = [1, 2, 3, 4];
    expect(maxVio(load)).toBeCloseTo(0.6, digits);
    expect(minVio(load)).toBeCloseTo(0.6, digits);
    expect(loadCv(load)).toBeCloseTo(Math.sqrt(1.25) / 2.5, digits);
    expect(loadGini(load)).toBeCloseTo(0.25, digits);
    const entropy = -(0.1 * Math.log(0.1) + 0.2 * Math.log(0.2) + 0.3 * Math.log(0.3) + 0.4 * Math.log(0.4));
    expect(loadEntropy(load)).toBeCloseTo(entropy / Math.log(4), digits);
  });

  it("call a half-empty pair of experts one bit short of its entropy", () => {
    expect(loadEntropy([7, 7, 0, 0])).toBeCloseTo(0.5, digits);
  });

  it("are those of balance for a single expert", () => {
    expect(Object.values(metrics).map((metric) => metric([9]))).toEqual([0, 0, 0, 0, 1, 0]);
  });

  it("are those of balance for a batch without any pair, except that every expert is idle", () => {
    expect(Object.values(metrics).map((metric) => metric([0, 0, 0]))).toEqual([0, 0, 0, 0, 1, 1]);
  });
});

describe("loadGini", () => {
  it("equals the mean absolute difference of all pairs of experts over twice the mean", () => {
    fc.assert(
      fc.property(someLoad, (load) => {
        const total = load.reduce((sum, pairs) => sum + pairs, 0);
        let difference = 0;
        for (const left of load) for (const right of load) difference += Math.abs(left - right);
        expect(loadGini(load)).toBeCloseTo(difference / (2 * load.length * total), digits);
      }),
      { seed: 1 },
    );
  });
});

describe("load metrics of any load", () => {
  it("stay within their ranges", () => {
    fc.assert(
      fc.property(loads, (load) => {
        const experts = load.length;
        expect(maxVio(load)).toBeGreaterThanOrEqual(0);
        expect(maxVio(load)).toBeLessThanOrEqual(experts - 1 + 1e-12);
        expect(minVio(load)).toBeGreaterThanOrEqual(0);
        expect(minVio(load)).toBeLessThanOrEqual(1);
        expect(loadCv(load)).toBeGreaterThanOrEqual(0);
        expect(loadCv(load)).toBeLessThanOrEqual(Math.sqrt(experts - 1) + 1e-12);
        expect(loadGini(load)).toBeGreaterThanOrEqual(0);
        expect(loadGini(load)).toBeLessThanOrEqual(1 - 1 / experts + 1e-12);
        expect(loadEntropy(load)).toBeGreaterThanOrEqual(0);
        expect(loadEntropy(load)).toBeLessThanOrEqual(1);
        expect(idleFraction(load)).toBeGreaterThanOrEqual(0);
        expect(idleFraction(load)).toBeLessThanOrEqual(1);
      }),
      { seed: 1 },
    );
  });

  it("put the entropy of a balanced load at exactly 1", () => {
    for (let experts = 2; experts <= 512; experts++) {
      const entropy = loadEntropy(new Array(experts).fill(3));
      expect(entropy).toBe(1);
    }
  });

  it("do not depend on the order of the experts", () => {
    fc.assert(
      fc.property(
        someLoad.chain((load) =>
          fc.tuple(fc.constant(load), fc.shuffledSubarray(load, { minLength: load.length, maxLength: load.length })),
        ),
        ([load, shuffled]) => {
          for (const metric of Object.values(metrics)) expect(metric(shuffled)).toBeCloseTo(metric(load), digits);
        },
      ),
      { seed: 1 },
    );
  });

  it("do not depend on the scale of the load", () => {
    fc.assert(
      fc.property(someLoad, fc.integer({ min: 2, max: 50 }), (load, factor) => {
        const scaled = load.map((pairs) => factor * pairs);
        for (const metric of Object.values(metrics)) expect(metric(scaled)).toBeCloseTo(metric(load), digits);
      }),
      { seed: 1 },
    );
  });

  it("read Int32Array, Float64Array and plain arrays alike and leave them as they were", () => {
    const load = [4, 0, 9, 1, 1];
    for (const metric of Object.values(metrics)) {
      const typed = Int32Array.from(load);
      expect(metric(typed)).toBe(metric(load));
      expect(metric(Float64Array.from(load))).toBe(metric(load));
      expect(Array.from(typed)).toEqual(load);
    }
  });
});

describe("loadPerRank", () => {
  it("sums equal contiguous groups of experts", () => {
    expect(Array.from(loadPerRank([1, 2, 3, 4, 5, 6], 3, new Float64Array(3)))).toEqual([3, 7, 11]);
  });

  it("is the load itself with one expert per rank, and its sum with one rank", () => {
    expect(Array.from(loadPerRank([4, 0, 2], 3, new Float64Array(3)))).toEqual([4, 0, 2]);
    expect(Array.from(loadPerRank([4, 0, 2], 1, new Float64Array(1)))).toEqual([6]);
  });

  it("gives the first ranks the larger share of experts that they do not divide", () => {
    const load = new Array(30).fill(10);
    load[29] = 100;
    const rankLoad = loadPerRank(load, 8, new Float64Array(8));
    expect(Array.from(rankLoad)).toEqual([40, 40, 40, 40, 40, 40, 30, 120]);
    expect(maxVio(rankLoad)).toBeCloseTo(1.4615384615384617, 15);
    expect(stepTime(rankLoad, 390)).toBeCloseTo(2.4615384615384617, 15);
  });

  it("forgets what the array held before", () => {
    expect(Array.from(loadPerRank([1, 1], 2, Float64Array.from([9, 9])))).toEqual([1, 1]);
  });

  it("gives every expert to the rank that its slice of the load belongs to", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 16 }),
        fc.infiniteStream(fc.nat(100)),
        (ranks, expertsPerRank, numbers) => {
          const load = Array.from({ length: ranks * expertsPerRank }, () => numbers.next().value);
          const expected = Array.from({ length: ranks }, (_, rank) =>
            load.slice(rank * expertsPerRank, (rank + 1) * expertsPerRank).reduce((sum, pairs) => sum + pairs, 0),
          );
          expect(Array.from(loadPerRank(load, ranks, new Float64Array(ranks)))).toEqual(expected);
        },
      ),
      { seed: 1 },
    );
  });
});

describe("stepTime", () => {
  it("is 1 when all ranks have the same load", () => {
    expect(stepTime(Float64Array.from([8, 8, 8, 8]), 32)).toBe(1);
  });

  it("is the number of ranks when one of them has everything", () => {
    expect(stepTime(Float64Array.from([0, 32, 0, 0]), 32)).toBe(4);
  });

  it("divides by the pairs of the batch, not by those assigned", () => {
    // T · K = 32 on 2 ranks, of which a router with a capacity above the target assigned 40, another 12.
    expect(stepTime(Float64Array.from([24, 16]), 32)).toBe(1.5);
    expect(stepTime(Float64Array.from([8, 4]), 32)).toBe(0.5);
  });

  it("is 1 for a batch without pairs", () => {
    expect(stepTime(Float64Array.from([0, 0]), 0)).toBe(1);
  });
});

describe("biasSpread", () => {
  it("is the largest less the smallest entry, which may be negative, and nothing without a bias", () => {
    expect(biasSpread([0.25, -0.5, 0, 0.125])).toBe(0.75);
    expect(biasSpread(Float64Array.of(-2, -1))).toBe(1);
    expect(biasSpread([3])).toBe(0);
    expect(biasSpread(null)).toBeNull();
  });

  it("is that of the bias a step leaves, and of a run that of its last step", async () => {
    const updateRate = 0.125;
    const { runs } = await simulate({
      name: "bias",
      steps: 4,
      tokens: 32,
      experts: 4,
      topK: 1,
      stream: { kind: "gaussian" },
      routers: [{ kind: "alf-lb", updateRate }, { kind: "topk" }],
    });
    const [moved, plain] = runs;
    // An expert's bias moves by the rate on each step, so the first step leaves one or two rates between two experts.
    expect([updateRate, 2 * updateRate]).toContain(moved.steps[0].biasSpread);
    expect(moved.summary.biasSpread).toBe(moved.steps[3].biasSpread);
    expect([plain.steps[0].biasSpread, plain.summary.biasSpread]).toEqual([null, null]);
  });
});
