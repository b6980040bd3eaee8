import { expect, it } from "vitest";
import { combine, createDispatch } from "../../../../src/core/streams/training/dispatch.ts";
import { loadTensors } from "../../../../src/node/tensors.ts";

it("deals pairs to their experts in the order of their slots and leaves out slots without one", () => {
  const { slotsOf, tokensOf } = createDispatch({ slots: 2, expert: Int32Array.of(2, 0, -1, 2, 0, -1, 9, 9) }, 3, 3);
  expect(slotsOf.map((slots) => [...slots])).toEqual([[1, 4], [], [0, 3]]);
  expect(tokensOf.map((tokens) => [...tokens])).toEqual([[0, 2], [], [0, 1]]);
});

it("puts together what experts computed, by the gates", async () => {
  const tf = await loadTensors("cpu");
  const dispatch = createDispatch({ slots: 2, expert: Int32Array.of(2, 0, -1, 2, -1, -1) }, 3, 3);
  const gates = tf.tensor2d([0.75, 0.25, 9, 2, 9, 9], [1, 6]);
  const ofFirst = tf.tensor2d([8, 80], [1, 2]);
  const ofThird = tf.tensor2d([4, 40, 1, 10], [2, 2]);
  const sum = combine(tf, dispatch, 2, gates, [0, 2], [ofFirst, ofThird]);
  expect(sum.arraySync()).toEqual([
    [0.75 * 4 + 0.25 * 8, 0.75 * 40 + 0.25 * 80],
    [2, 20],
    [0, 0],
  ]);
});
