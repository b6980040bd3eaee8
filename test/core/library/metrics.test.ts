import { describe, expect, it } from "vitest";
import { describeMetrics } from "../../../src/core/metrics/catalogue.ts";
import { InputError, metrics, routers, simulate, streams } from "../../../src/index.ts";
import { affinities, toMatrix } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";

const sizes = { tokens: 24, experts: 6, topK: 2, capacityFactor: 1.5 };

/** What only the router itself knows, as its solver's iterations, a meter leaves null; never one of the `known`. */
function expectSame<Values extends object>(measured: Values, simulated: Values, known: (keyof Values)[]): void {
  for (const key of known) expect(measured[key]).not.toBeNull();
  const unknown = Object.entries(measured).filter(([, value]) => value === null);
  expect(measured).toEqual({ ...simulated, ...Object.fromEntries(unknown) });
}

describe("a meter", () => {
  // Six experts do not go into the eight groups that `grouped-topk` has by default.
  const kinds = routers
    .list()
    .map(({ kind }) => kind)
    .filter((kind) => kind !== "grouped-topk");

  it.each(kinds)("measures what %s chose as a simulation does", async (kind) => {
    const stream = { kind: "clusters" } as const;
    const regret = { every: 2, gap: 0 };
    const fields = { ...sizes, steps: 5, ranks: 3, capacity: "drop", scores: "softmax", regret } as const;
    const { runs } = await simulate({ name: "same", ...fields, stream, routers: [{ kind }] });
    const router = await routers.create({ kind, scores: "softmax" }, sizes);
    const meter = await metrics.createMeter({ ...fields, slots: 6 });
    for await (const { step, logits } of await streams.open(stream, { ...sizes, steps: 5 } as streams.StreamSizes)) {
      const measured = meter.measure(logits, router.route(logits));
      expectSame(measured, runs[0].steps[step], ["maxVio", "score", "churn", "routerZ", "rankMaxVio"]);
    }
    expectSame(meter.summary(), runs[0].summary, ["maxVioBatchP95", "deadExperts", "score", "regretMean", "churn"]);
  });

  it("takes any choice: plain arrays, −1 for none, fewer slots", async () => {
    const meter = await metrics.createMeter({ tokens: 4, experts: 4, topK: 2 });
    const logits = [3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0];
    const { load, maxVio, idleFraction, droppedFraction, churn, score, tokens } = meter.measure(logits, {
      expert: [0, 0, -1],
      slots: 1,
    });
    // Two pairs of six; the capacity of ⌈3 · 2 / 4⌉ = 2 holds them, and the other four were not routed.
    expect([load, maxVio, idleFraction, droppedFraction, tokens]).toEqual([[2, 0, 0, 0], 3, 0.75, 4 / 6, 3]);
    expect(churn).toBeCloseTo(1 - 2 / 6, 12);
    const [[best]] = affinities(toMatrix(logits, 3, 4), "softmax");
    expect(score).toBeCloseTo((2 * best) / 6, 12);
  });

  it("refuses choices that are none, and counts nothing of them", async () => {
    const meter = await metrics.createMeter({ tokens: 2, experts: 4, topK: 2 });
    const logits = randomLogits("any", 2, 4);
    expect(() => meter.summary()).toThrow(/nothing has been measured yet/);
    expect(() => meter.measure(logits, { expert: [0, 1, 2, 4] })).toThrow(
      /token 1, slot 1: 4 is not an expert; expected 0 to 3/,
    );
    expect(() => meter.measure(logits, { expert: [0, 1, 2, 2] })).toThrow(/token 1, slot 1: expert 2 appears twice/);
    expect(() => meter.measure(logits, { expert: [0, 1, 2, 0.5] })).toThrow(InputError);
    expect(() => meter.measure(logits, { expert: [0, 1, 2] })).toThrow(/3 entries; expected 2 tokens × 2 slots/);
    expect(() => meter.measure(logits, { expert: [0, 1, 2], slots: 3 })).toThrow(/created for 1 to 2/);
    expect(() => meter.measure(randomLogits("any", 3, 4), { expert: [0, 1, 2, 3, 0, 1] })).toThrow(/at most 2/);
    expect(() => meter.measure([1, 2, 3, Number.NaN], { expert: [0, 1] })).toThrow(/token 0, expert 3/);
    expect(meter.measure(logits, { expert: [0, 1, 2, 3] })).toMatchObject({ step: 0, maxVio: 0 });
    expect(meter.summary().regretMean).toBeGreaterThanOrEqual(0);
    const short = await metrics.createMeter({ tokens: 2, experts: 4, topK: 2, steps: 1 });
    short.measure(logits, { expert: [0, 1, 2, 3] });
    expect(() => short.measure(logits, { expert: [0, 1, 2, 3] })).toThrow(/more than the 1 batches that/);
    expect(short.summary()).toMatchObject({ regretSe: null });
  });

  it.each([{ topK: 7 }, { ranks: 7 }, { slots: 7 }, { slots: 0 }, { scores: "tanh" as "softmax" }, { tokens: 0 }])(
    "refuses the sizes %j",
    async (wrong) => {
      await expect(metrics.createMeter({ ...sizes, ...wrong })).rejects.toThrow(InputError);
    },
  );
});

it("lists every metric", () => {
  expect(metrics.list()).toEqual(describeMetrics());
});

it("gives affinities in float64", () => {
  const logits = randomLogits("affinities", 5, 7, 3);
  for (const scores of ["softmax", "sigmoid"] as const) {
    const plain = affinities(toMatrix(logits, 5, 7), scores).flat();
    const found = metrics.affinities(Array.from(logits), 7, scores);
    expect(found.buffer).toBeInstanceOf(ArrayBuffer);
    // A few units in the last place of float64.
    for (const [i, score] of plain.entries()) expect(found[i]).toBeCloseTo(score, 14);
  }
  expect(() => metrics.affinities([1, 2, 3], 2)).toThrow(/3 entries; expected one or more whole rows of 2/);
});

it("counts loads, sums them over ranks, and knows the capacity", () => {
  const load = metrics.countLoad([0, 3, -1, 3, 2, 3], 4);
  expect(Array.from(load)).toEqual([1, 0, 1, 3]);
  expect(Array.from(metrics.loadPerRank(load, 2))).toEqual([1, 4]);
  expect(Array.from(metrics.loadPerRank(load, 3))).toEqual([1, 1, 3]);
  expect(metrics.maxVio(load)).toBeCloseTo(3 / (5 / 4) - 1, 12);
  expect(() => metrics.countLoad([0, 4], 4)).toThrow(/entry 1: 4 is not an expert/);
  expect(() => metrics.loadPerRank(load, 5)).toThrow(/ranks: 5 is not allowed. Allowed: 1 to 4/);
  expect(metrics.capacity({ tokens: 10, experts: 4, topK: 2 })).toBe(5);
  expect(metrics.capacity({ tokens: 10, experts: 4, topK: 2, capacityFactor: 1.1 })).toBe(6);
});

it("refuses affinities, sizes and numbers of experts that are none, and computes nothing from them", () => {
  expect(() => metrics.affinities([1, 2], 2, "tanh" as "softmax")).toThrow(/"tanh" is not allowed. Allowed: softmax/);
  for (const experts of [0, -1, 1.5]) expect(() => metrics.countLoad([0], experts)).toThrow(InputError);
  const sizes = { tokens: 10, experts: 4, topK: 2 };
  const wrong = [{ experts: 0 }, { tokens: -1 }, { topK: 0.5 }, { capacityFactor: 0 }, { tokens: undefined }];
  for (const size of wrong) {
    expect(() => metrics.capacity({ ...sizes, ...size } as typeof sizes), JSON.stringify(size)).toThrow(InputError);
  }
});

it("counts the pairs on which two choices differ, whatever their order in a token", () => {
  const sizes = { experts: 4, topK: 2 };
  expect(metrics.churn([0, 1, 2, 3], [1, 0, 3, 2], sizes)).toBe(0);
  expect(metrics.churn([0, 1, 2, 3], [0, 2, -1, 3], sizes)).toBe(0.5);
  expect(metrics.churn([0, 1, 3, -1], [0, 2, -1, 3], sizes)).toBeCloseTo(1 / 3, 15);
  expect(() => metrics.churn([0, 1], [0, 1, 2, 3], sizes)).toThrow(InputError);
  expect(() => metrics.churn([0, 1], [0, 9], sizes)).toThrow(InputError);
});
