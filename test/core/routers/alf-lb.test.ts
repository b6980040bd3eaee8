import { describe, expect, it } from "vitest";
import { maxVio } from "../../../src/core/metrics/load.ts";
import { type AlfLbTwinOptions, alfLbTwin } from "../../support/alf-lb-twin.ts";
import { affinities, largestDifference, largestIndices, normalised, toMatrix } from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

// Both sides compute the bias in float64; only the order of a few additions differs.
const biasTolerance = 1e-13;
// Gates are float32: half a unit in the last place of numbers below 1, and the kernels' relative error of 1e-6.
const gateTolerance = 2e-6;

const shape = { tokens: 30, experts: 6, topK: 2, capacityFactor: 1 };
const steps = 13;
// The last batch is shorter, as that of a recorded file may be.
const batches = Array.from({ length: steps }, (_, step) =>
  skewedLogits(`alf-lb ${step}`, step === steps - 1 ? 11 : shape.tokens, shape.experts, 1),
);
const batchRows = batches.map((batch) => toMatrix(batch, batch.length / shape.experts, shape.experts));

const rules = ["sign", "proportional"] as const;
const schedules = ["constant", "inverse-sqrt", "inverse"] as const;
const variants: AlfLbTwinOptions[] = rules.flatMap((updateRule) =>
  schedules.flatMap((schedule) =>
    [false, true].flatMap((center) =>
      [1, 3].map((updateEvery) => ({ updateRule, schedule, center, updateEvery, updateRate: 0.07 })),
    ),
  ),
);

function biasOf(state: object): number[] {
  return (state as { bias: number[] }).bias;
}

describe("alf-lb", () => {
  it.each(variants)(
    "follows $updateRule/$schedule/center $center/every $updateEvery as a float64 twin does",
    (options) => {
      const twin = alfLbTwin(batchRows, "sigmoid", shape.topK, options);
      const { route, router } = createRouterUnderTest("alf-lb", shape, { options });
      batches.forEach((batch, step) => {
        const { expert, gate } = route(batch);
        expect(expert).toEqual(twin.chosen[step]);
        expect(largestDifference([biasOf(router.state())], [twin.bias[step]])).toBeLessThan(biasTolerance);
        const affinity = affinities(batchRows[step], "sigmoid");
        const expected = expert.map((row, token) => normalised(row.map((e) => affinity[token][e])));
        expect(largestDifference(gate, expected)).toBeLessThan(gateTolerance);
      });
    },
  );

  it("follows the twin with softmax affinities too", () => {
    const options = {
      updateRule: "sign",
      schedule: "constant",
      center: false,
      updateEvery: 1,
      updateRate: 0.03,
    } as const;
    const twin = alfLbTwin(batchRows, "softmax", shape.topK, options);
    const { route } = createRouterUnderTest("alf-lb", shape, { options, scores: "softmax" });
    expect(batches.map((batch) => route(batch).expert)).toEqual(twin.chosen);
  });

  it("scores with the sigmoid, by the sign and with a constant rate of 0.001 unless told otherwise", () => {
    const options = {
      updateRule: "sign",
      schedule: "constant",
      center: false,
      updateEvery: 1,
      updateRate: 0.001,
    } as const;
    const twin = alfLbTwin(batchRows, "sigmoid", shape.topK, options);
    const { route, router } = createRouterUnderTest("alf-lb", shape);
    expect(batches.map((batch) => route(batch).expert)).toEqual(twin.chosen);
    expect(largestDifference([biasOf(router.state())], [twin.bias.at(-1)!])).toBeLessThan(biasTolerance);
  });

  it("routes a batch with the bias as it was before the batch's own load", () => {
    const { route } = createRouterUnderTest("alf-lb", shape, { options: { updateRate: 100 } });
    const first = affinities(batchRows[0], "sigmoid").map((row) => largestIndices(row, shape.topK));
    expect(route(batches[0]).expert).toEqual(first);
  });

  it("leaves the bias of an expert with exactly the target load where it is", () => {
    const square = { tokens: 3, experts: 3, topK: 1, capacityFactor: 1 };
    const { route, router } = createRouterUnderTest("alf-lb", square, { options: { updateRate: 0.5 } });
    route(Float32Array.of(1, 0, 0, 1, 0, 0, 0, 1, 0));
    expect(biasOf(router.state())).toEqual([-0.5, 0, 0.5]);
  });

  it("gates by the affinities themselves without renormalisation, never by the bias", () => {
    const { route } = createRouterUnderTest("alf-lb", shape, { options: { renormalize: false, updateRate: 0.2 } });
    route(batches[0]);
    const { expert, gate } = route(batches[1]);
    const affinity = affinities(batchRows[1], "sigmoid");
    const expected = expert.map((row, token) => row.map((e) => affinity[token][e]));
    expect(largestDifference(gate, expected)).toBeLessThan(gateTolerance);
  });

  it("moves the proportional bias against the gradient of the dual of arXiv 2512.03915", () => {
    const { route, router } = createRouterUnderTest("alf-lb", shape, {
      options: { updateRule: "proportional", updateRate: 1 },
    });
    route(batches[0]);
    route(batches[1]);
    const before = biasOf(router.state());
    route(batches[2]);
    const after = biasOf(router.state());
    const affinity = affinities(batchRows[2], "sigmoid");
    const dual = (bias: number[]) => {
      const best = affinity.map((row) => {
        const key = row.map((value, e) => value + bias[e]);
        return largestIndices(key, shape.topK).reduce((sum, e) => sum + key[e], 0);
      });
      const mean = best.reduce((sum, value) => sum + value, 0) / shape.tokens;
      return mean - (shape.topK / shape.experts) * bias.reduce((sum, value) => sum + value, 0);
    };
    // The dual is piecewise linear: away from its kinks central differences are exact up to 2⁻⁵³ / step.
    const step = 1e-6;
    before.forEach((_, e) => {
      const shifted = (by: number) => before.map((value, other) => (other === e ? value + by : value));
      const gradient = (dual(shifted(step)) - dual(shifted(-step))) / (2 * step);
      expect(after[e] - before[e]).toBeCloseTo(-gradient, 7);
    });
  });

  it("balances a skewed stream that top-k leaves unbalanced", () => {
    const balanced = createRouterUnderTest("alf-lb", shape, { options: { updateRate: 0.02 } });
    const plain = createRouterUnderTest("topk", shape);
    const total = { balanced: new Array<number>(6).fill(0), plain: new Array<number>(6).fill(0) };
    for (let step = 0; step < 100; step++) {
      const batch = skewedLogits(`balance ${step}`, shape.tokens, shape.experts, 1);
      const loads = { balanced: balanced.route(batch).load, plain: plain.route(batch).load };
      if (step < 50) continue;
      for (const name of ["balanced", "plain"] as const) {
        total[name] = total[name].map((pairs, e) => pairs + loads[name][e]);
      }
    }
    expect(maxVio(total.plain)).toBeGreaterThan(0.8);
    expect(maxVio(total.balanced)).toBeLessThan(0.1);
  });

  it("refuses the state of a router of another size", () => {
    const { router } = createRouterUnderTest("alf-lb", shape);
    const other = createRouterUnderTest("alf-lb", { ...shape, experts: 8 }).router;
    expect(() => router.restore(other.state())).toThrow(RangeError);
    expect(() => router.restore({ bias: [0] })).toThrow();
  });
});
