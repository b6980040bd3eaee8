import { describe, expect, it } from "vitest";
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
    expect(() => router.restore({ offset: [0, 0] })).toThrow(RangeError);
    expect(() => router.restore({})).toThrow();
  });
});
