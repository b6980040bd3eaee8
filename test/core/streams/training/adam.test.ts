import { expect, it } from "vitest";
import { createReferenceKernels } from "../../../../src/core/kernels/reference.ts";
import { createRandom } from "../../../../src/core/random.ts";
import { createAdam } from "../../../../src/core/streams/training/adam.ts";
import { createParameters } from "../../../../src/core/streams/training/parameters.ts";
import { loadTensors } from "../../../../src/node/tensors.ts";

it("moves parameters as TensorFlow.js's own Adam does, and leaves those without a gradient", async () => {
  const tf = await loadTensors("cpu");
  const { parameters, create } = createParameters(tf, createReferenceKernels(), createRandom(1));
  const ours = create("moved", [3, 4], 1);
  create("still", [2], 1);
  const before = parameters[1].values.slice();
  const theirs = tf.variable(ours.clone());
  const random = createRandom(2);
  const adam = createAdam(tf, parameters, 0.02);
  const reference = tf.train.adam(0.02);
  for (let count = 1; count <= 30; count++) {
    const scale = 10 ** (4 * random.uniform() - 3);
    const gradient = tf.tensor2d(
      Float32Array.from({ length: 12 }, () => scale * random.normal()),
      [3, 4],
    );
    adam.update({ [ours.name]: gradient }, count);
    reference.applyGradients([{ name: theirs.name, tensor: gradient }]);
    const expected = theirs.dataSync();
    const found = ours.dataSync();
    // Thirty float32 steps of at most about 0.02 each; the other adds its ε in front of another factor.
    for (let i = 0; i < 12; i++) expect(found[i]).toBeCloseTo(expected[i], 4);
  }
  expect(parameters[1].values).toEqual(before);
  expect(adam.moments[1].first).toEqual(new Float32Array(2));
});
