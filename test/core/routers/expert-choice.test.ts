import { describe, expect, it } from "vitest";
import { expertCapacity, type RoutingShape } from "../../../src/core/assignment.ts";
import { affinities, largestDifference, largestIndices, type Matrix, toMatrix } from "../../support/plain.ts";
import { randomLogits } from "../../support/random-logits.ts";
import { createRouterUnderTest } from "../../support/router-under-test.ts";

const gateTolerance = 2e-6;

/** The experts of each token, ascending, when each expert takes the `capacity` tokens with its highest affinities. */
function takenBy(affinity: Matrix, capacity: number): Matrix {
  const experts = affinity[0].length;
  const taken: Matrix = affinity.map(() => []);
  for (let e = 0; e < experts; e++) {
    const column = affinity.map((row) => row[e]);
    for (const token of largestIndices(column, capacity)) taken[token].push(e);
  }
  return taken;
}

const withoutEmpty = (rows: Matrix) => rows.map((row) => row.filter((expert) => expert >= 0));

const shapes: RoutingShape[] = [
  { tokens: 20, experts: 5, topK: 2, capacityFactor: 1 },
  { tokens: 17, experts: 6, topK: 1, capacityFactor: 1.5 },
  { tokens: 8, experts: 4, topK: 4, capacityFactor: 1 },
  { tokens: 3, experts: 7, topK: 2, capacityFactor: 1 },
];

describe("expert-choice", () => {
  it.each(shapes)("gives each expert the C tokens with its highest affinities: %o", (shape) => {
    const logits = randomLogits("expert choice", shape.tokens, shape.experts, 1.5);
    const capacity = expertCapacity(shape.tokens, shape);
    for (const scores of ["softmax", "sigmoid"] as const) {
      const { expert, gate, load } = createRouterUnderTest("expert-choice", shape, { scores }).route(logits);
      const affinity = affinities(toMatrix(logits, shape.tokens, shape.experts), scores);
      expect(withoutEmpty(expert)).toEqual(takenBy(affinity, capacity));
      expect(load).toEqual(new Array(shape.experts).fill(capacity));
      const gates = expert.map((row, token) => row.map((e) => (e < 0 ? 0 : affinity[token][e])));
      expect(largestDifference(gate, gates)).toBeLessThan(gateTolerance);
    }
  });

  it("compares softmax affinities across tokens, not their logits", () => {
    const shape = { tokens: 2, experts: 2, topK: 1, capacityFactor: 1 };
    // The second token's logit for expert 0 is the larger, its affinity the smaller.
    const logits = Float32Array.of(1, 0, 2, 3);
    const { expert } = createRouterUnderTest("expert-choice", shape, { scores: "softmax" }).route(logits);
    expect(expert).toEqual([[0], [1]]);
    const bySigmoid = createRouterUnderTest("expert-choice", shape, { scores: "sigmoid" }).route(logits);
    expect(withoutEmpty(bySigmoid.expert)).toEqual([[], [0, 1]]);
  });

  it("has as many slots as the most experts of a token, empty ones at the end", () => {
    const shape = { tokens: 3, experts: 3, topK: 1, capacityFactor: 1 };
    const { expert, gate } = createRouterUnderTest("expert-choice", shape, { scores: "sigmoid" }).route(
      Float32Array.of(5, 5, 0, 0, 0, 5, 1, 1, 1),
    );
    expect(expert).toEqual([
      [0, 1],
      [2, -1],
      [-1, -1],
    ]);
    expect(gate[1][1]).toBe(0);
    expect(gate[2]).toEqual([0, 0]);
  });

  it("takes the earlier token of equal affinities", () => {
    const shape = { tokens: 4, experts: 2, topK: 1, capacityFactor: 1 };
    const { expert } = createRouterUnderTest("expert-choice", shape).route(new Float32Array(8));
    expect(withoutEmpty(expert)).toEqual([[0, 1], [0, 1], [], []]);
  });

  it("never takes more tokens than there are", () => {
    const shape = { tokens: 4, experts: 2, topK: 2, capacityFactor: 3 };
    const { load } = createRouterUnderTest("expert-choice", shape).route(randomLogits("few", 4, 2));
    expect(load).toEqual([4, 4]);
  });

  it("adapts its capacity to a shorter batch, of which it has fewer slots than before", () => {
    const shape = { tokens: 12, experts: 4, topK: 2, capacityFactor: 1 };
    const router = createRouterUnderTest("expert-choice", shape);
    router.route(randomLogits("long", 12, 4));
    const logits = randomLogits("short", 5, 4);
    const { expert, load } = router.route(logits);
    expect(load).toEqual([3, 3, 3, 3]);
    expect(withoutEmpty(expert)).toEqual(takenBy(affinities(toMatrix(logits, 5, 4), "softmax"), 3));
  });
});
