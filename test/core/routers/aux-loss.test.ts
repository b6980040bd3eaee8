import { describe, expect, it } from "vitest";
import type { ScoreKind } from "../../../src/core/assignment.ts";
import { switchLoss } from "../../support/gate-twins.ts";
import {
  affinities,
  countLoad,
  largestDifference,
  largestIndices,
  type Matrix,
  normalised,
  toMatrix,
} from "../../support/plain.ts";
import { skewedLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

// Probabilities are float32: the gradient is a mean of products of them, each with a relative error below 2e-6.
const gradientTolerance = 2e-6;
const gateTolerance = 2e-6;

const shape = { tokens: 40, experts: 5, topK: 2, capacityFactor: 1 };
const batches = Array.from({ length: 8 }, (_, step) =>
  skewedLogits(`aux-loss ${step}`, step === 7 ? 9 : shape.tokens, shape.experts, 1),
);
const batchRows = batches.map((batch) => toMatrix(batch, batch.length / shape.experts, shape.experts));

function shifted(rows: Matrix, offset: readonly number[]): Matrix {
  return rows.map((row) => row.map((logit, e) => logit + offset[e]));
}

/** The loss's gradient by central differences, with an error of about step² + 2⁻⁵³ / step ≈ 1e-10. */
function differences(
  rows: Matrix,
  offset: readonly number[],
  fraction: readonly number[],
  coefficient: number,
  scores: ScoreKind = "softmax",
): number[] {
  const step = 1e-5;
  return offset.map((_, e) => {
    const at = (by: number) =>
      switchLoss(
        shifted(
          rows,
          offset.map((value, other) => (other === e ? value + by : value)),
        ),
        fraction,
        coefficient,
        scores,
      );
    return (at(step) - at(-step)) / (2 * step);
  });
}

describe("aux-loss", () => {
  const coefficient = 0.02;
  const learningRate = 40;

  it("descends the loss batch after batch as a float64 twin with numerical slopes does", () => {
    const { route, router } = createRouterUnderTest("aux-loss", shape, { options: { coefficient, learningRate } });
    let offset = new Array<number>(shape.experts).fill(0);
    batches.forEach((batch, step) => {
      const { expert, gate } = route(batch);
      const corrected = shifted(batchRows[step], offset);
      expect(expert).toEqual(corrected.map((row) => largestIndices(row, shape.topK)));
      const affinity = affinities(corrected, "softmax");
      const gates = expert.map((row, token) => normalised(row.map((e) => affinity[token][e])));
      expect(largestDifference(gate, gates)).toBeLessThan(gateTolerance);

      const fraction = normalised(countLoad(expert, shape.experts));
      const slope = differences(batchRows[step], offset, fraction, coefficient);
      offset = offset.map((value, e) => value - learningRate * slope[e]);
      const { offset: routerOffset } = router.state() as { offset: number[] };
      // Errors of the slopes add up over the batches.
      const tolerance = (step + 1) * learningRate * coefficient * gradientTolerance;
      expect(largestDifference([routerOffset], [offset])).toBeLessThan(tolerance);
    });
    expect(Math.max(...offset.map(Math.abs))).toBeGreaterThan(0.1);
  });

  it.each(["sigmoid", "sqrt-softplus", "logits"] as const)(
    "takes p of %s affinities divided by their sum",
    (scores) => {
      const { route, router } = createRouterUnderTest("aux-loss", shape, {
        options: { coefficient, learningRate },
        scores,
      });
      const fraction = normalised(countLoad(route(batches[0]).expert, shape.experts));
      const slope = differences(batchRows[0], new Array(shape.experts).fill(0), fraction, coefficient, scores);
      const { offset } = router.state() as { offset: number[] };
      const expected = slope.map((value) => -learningRate * value);
      expect(largestDifference([offset], [expected])).toBeLessThan(learningRate * coefficient * gradientTolerance);
      expect(Math.max(...offset.map(Math.abs))).toBeGreaterThan(0.01);
    },
  );

  it.each(["softmax", "sigmoid"] as const)("takes the mean of the losses of sequences, by %s", (scores) => {
    const options = { coefficient, learningRate, scope: "sequence", sequenceTokens: 16 };
    const { route, router } = createRouterUnderTest("aux-loss", shape, { options, scores });
    const { expert } = route(batches[0]);
    const none = new Array(shape.experts).fill(0);
    const slopes = [0, 16, 32].map((first) => {
      const part = expert.slice(first, first + 16);
      const rows = batchRows[0].slice(first, first + 16);
      return differences(rows, none, normalised(countLoad(part, shape.experts)), coefficient, scores);
    });
    const expected = none.map((_, e) => (-learningRate * slopes.reduce((sum, slope) => sum + slope[e], 0)) / 3);
    const { offset } = router.state() as { offset: number[] };
    expect(largestDifference([offset], [expected])).toBeLessThan(learningRate * coefficient * gradientTolerance);
  });

  it("takes f of the last batches together in the global scope, and resumes with them", () => {
    const options = { coefficient, learningRate, scope: "global", globalBatches: 3 };
    const { route, router } = createRouterUnderTest("aux-loss", shape, { options });
    const other = createRouterUnderTest("aux-loss", shape, { options });
    const chosen: Matrix[] = [];
    let offset = new Array<number>(shape.experts).fill(0);
    batches.forEach((batch, step) => {
      if (step === 4) other.router.restore(JSON.parse(JSON.stringify(router.state())));
      chosen.push(route(batch).expert);
      const fraction = normalised(countLoad(chosen.slice(-3).flat(), shape.experts));
      const slope = differences(batchRows[step], offset, fraction, coefficient);
      offset = offset.map((value, e) => value - learningRate * slope[e]);
      const state = router.state() as { offset: number[] };
      const tolerance = (step + 1) * learningRate * coefficient * gradientTolerance;
      expect(largestDifference([state.offset], [offset])).toBeLessThan(tolerance);
      if (step < 4) return;
      other.route(batch);
      expect(other.router.state()).toEqual(state);
    });
  });

  it("stays where a balanced batch leaves it", () => {
    const even = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    const { route, router } = createRouterUnderTest("aux-loss", even, { options: { coefficient, learningRate } });
    expect(route(Float32Array.of(1, 0, -3, 5)).load).toEqual([1, 1]);
    expect((router.state() as { offset: number[] }).offset.map(Math.abs)).toEqual([0, 0]);
  });

  it("gates by the sigmoid of the corrected logits when the scenario scores so", () => {
    const { route, router } = createRouterUnderTest("aux-loss", shape, {
      options: { coefficient, learningRate, renormalize: false },
      scores: "sigmoid",
    });
    route(batches[0]);
    const { offset } = router.state() as { offset: number[] };
    const { expert, gate } = route(batches[1]);
    const affinity = affinities(shifted(batchRows[1], offset), "sigmoid");
    const expected = expert.map((row, token) => row.map((e) => affinity[token][e]));
    expect(largestDifference(gate, expected)).toBeLessThan(gateTolerance);
  });

  it.each([{ coefficient: 0 }, { learningRate: 0 }])("is plain top-k with %o", (options) => {
    const corrected = createRouterUnderTest("aux-loss", shape, { options });
    const plain = createRouterUnderTest("topk", shape);
    for (const batch of batches) expect(corrected.route(batch)).toEqual(plain.route(batch));
  });

  it("refuses the state of a router of another size", () => {
    const { router } = createRouterUnderTest("aux-loss", shape);
    const state = router.state();
    expect(() => router.restore({ ...state, offset: [0, 0] })).toThrow(RangeError);
    expect(() => router.restore({ ...state, loads: [1], pairs: [1] })).toThrow(RangeError);
    expect(() => router.restore({})).toThrow();
  });
});
