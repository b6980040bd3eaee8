import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";
import { withGradient } from "./custom-gradient.ts";

/**
 * Returns rows `index` of `table` `[rows × width]`, as `[index.length × width]`. A row used several times sums its
 * gradients. Copies the rows itself: in WebAssembly, TensorFlow's own gather is slow and has no gradient.
 */
export function lookUp(tf: Tensors, table: Tensor2D, index: Int32Array): Tensor2D {
  const width = table.shape[1];
  return withGradient(
    tf,
    [table],
    ([table]) => {
      const from = table.dataSync();
      const taken = new Float32Array(index.length * width);
      for (let i = 0; i < index.length; i++) {
        for (let column = 0; column < width; column++) taken[i * width + column] = from[index[i] * width + column];
      }
      return tf.tensor2d(taken, [index.length, width]);
    },
    (gradient) => {
      const ofTaken = gradient.dataSync();
      const ofTable = new Float32Array(table.size);
      for (let i = 0; i < index.length; i++) {
        for (let column = 0; column < width; column++)
          ofTable[index[i] * width + column] += ofTaken[i * width + column];
      }
      return [tf.tensor2d(ofTable, table.shape)];
    },
  );
}
