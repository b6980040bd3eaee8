import type { Rank, ShapeMap, Variable } from "@tensorflow/tfjs-core";
import { expect, it } from "vitest";
import { createDispatch } from "../../../../src/core/streams/training/dispatch.ts";
import { createExpertLayer } from "../../../../src/core/streams/training/expert-layer.ts";
import { loadTensors } from "../../../../src/node/tensors.ts";

/** A layer of width 2 whose experts give back relu(x), times `factor[e]`, and its gate the first coordinate to expert 0. */
async function open(factor: readonly number[]) {
  const tf = await loadTensors("cpu");
  function createParameter<R extends Rank>(name: string, shape: ShapeMap[R]): Variable<R> {
    const e = Number(/^expert (\d+)/.exec(name)?.[1] ?? 0);
    const scale = name.endsWith("out of") ? factor[e] : 1;
    const values = name.endsWith("offset") ? tf.zeros<R>(shape) : tf.mul(tf.eye(shape[0], shape[1]), scale);
    return tf.variable(values as ReturnType<typeof tf.zeros<R>>);
  }
  return { tf, layer: createExpertLayer(tf, { width: 2, hidden: 2, experts: factor.length }, createParameter) };
}

it("gives each token the gated sum of its own experts' outputs", async () => {
  const { tf, layer } = await open([1, 10, 100]);
  const tokens = tf.tensor2d([3, -1, 2, 5, -4, 7], [3, 2]);
  const dispatch = createDispatch({ slots: 2, expert: Int32Array.of(0, 1, 1, -1, -1, -1) }, 3, 3);
  const output = layer.output(tokens, dispatch, tf.tensor2d([0.5, 0.25, 2, 9, 9, 9], [1, 6]));
  expect(output.arraySync()).toEqual([
    [0.5 * 3 + 0.25 * 30, 0],
    [2 * 20, 2 * 50],
    [0, 0],
  ]);
  expect(layer.logits(tokens).arraySync()).toEqual([
    [3, -1, 0],
    [2, 5, 0],
    [-4, 7, 0],
  ]);
});

it.each([
  ["alike but for their size", [1, 10, 0.1], 1],
  ["half of them turned over", [1, 1, -1, -1], -1 / 3],
  ["a single one", [5], 1],
  ["none says anything", [0, 0], 0],
  ["one says nothing", [1, 1, 0], 1 / 3],
])("tells how alike experts are: %s", async (_, factor, similarity) => {
  const { tf, layer } = await open(factor);
  expect(layer.similarity(tf.tensor2d([1, 2, 3, 4], [2, 2]))).toBeCloseTo(similarity, 6);
});
