import type { GradSaveFunc, Tensor, Tensor2D } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";

/**
 * Computes `value` of matrices with a custom gradient: `gradient` takes the gradient of the result and `inputs`, and
 * returns the inputs' gradients in their order.
 */
export function withGradient(
  tf: Tensors,
  inputs: readonly Tensor2D[],
  value: (inputs: readonly Tensor2D[]) => Tensor2D,
  gradient: (ofResult: Tensor2D, inputs: readonly Tensor2D[]) => Tensor2D[],
): Tensor2D {
  const differentiable = tf.customGrad((...inputsAndSave) => {
    const own = inputsAndSave.slice(0, -1) as Tensor2D[];
    const save = inputsAndSave.at(-1) as GradSaveFunc;
    save(own);
    return {
      value: value(own),
      gradFunc: (ofResult: Tensor, saved: Tensor[]) => gradient(ofResult as Tensor2D, saved as Tensor2D[]),
    };
  });
  return differentiable(...inputs) as Tensor2D;
}

/**
 * The product `left · right` of `[rows × inner]` and `[inner × columns]`. Its gradients are products with a transposed
 * factor, for which the WebAssembly backend has only a plain loop: transposing the factor first is many times faster.
 */
export function multiply(tf: Tensors, left: Tensor2D, right: Tensor2D): Tensor2D {
  return withGradient(
    tf,
    [left, right],
    ([left, right]) => tf.matMul(left, right),
    (ofProduct, [left, right]) => [tf.matMul(ofProduct, tf.transpose(right)), tf.matMul(tf.transpose(left), ofProduct)],
  );
}
