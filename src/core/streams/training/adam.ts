import type { NamedTensorMap } from "@tensorflow/tfjs-core";
import type { Tensors } from "../../platform.ts";
import type { Parameter } from "./parameters.ts";

/** Moves parameters against their gradients. */
export interface Adam {
  /**
   * Applies update number `count`, counted from 1, with the gradients under the variables' names. A parameter without a
   * gradient (of an expert without tokens) keeps its value and its moments.
   */
  update(gradients: NamedTensorMap, count: number): void;
  /** First and second moments, in the order of the parameters. */
  readonly moments: readonly { readonly first: Float32Array; readonly second: Float32Array }[];
}

const firstDecay = 0.9;
const secondDecay = 0.999;
const epsilon = 1e-8;

/**
 * Adam, with the defaults of its paper:
 *
 *     m = β₁·m + (1 − β₁)·g,   v = β₂·v + (1 − β₂)·g²
 *     θ = θ − rate · (m / (1 − β₁ⁿ)) / (√(v / (1 − β₂ⁿ)) + ε)
 *
 * The optimiser in TensorFlow.js takes a dozen tensor operations for each of many small parameters, and an interrupted
 * run could not resume to the same bytes: it restores the powers of β in another way than it reached them.
 *
 * Source: Kingma & Ba 2015, arXiv 1412.6980, algorithm 1.
 */
export function createAdam(tf: Tensors, parameters: readonly Parameter[], learningRate: number): Adam {
  const moments = parameters.map(({ values }) => ({
    first: new Float32Array(values.length),
    second: new Float32Array(values.length),
  }));
  return {
    moments,
    update(gradients, count) {
      const rate = learningRate / (1 - firstDecay ** count);
      const secondScale = 1 / (1 - secondDecay ** count);
      for (const [index, { values, variable }] of parameters.entries()) {
        const gradient = gradients[variable.name]?.dataSync();
        if (gradient === undefined) continue;
        const { first, second } = moments[index];
        for (let i = 0; i < values.length; i++) {
          first[i] = firstDecay * first[i] + (1 - firstDecay) * gradient[i];
          second[i] = secondDecay * second[i] + (1 - secondDecay) * gradient[i] ** 2;
          values[i] -= (rate * first[i]) / (Math.sqrt(secondScale * second[i]) + epsilon);
        }
        assign(tf, { variable, values });
      }
    },
  };
}

/** Copies a parameter's values to its variable. */
export function assign(tf: Tensors, { variable, values }: Pick<Parameter, "variable" | "values">): void {
  const tensor = tf.tensor(values.slice(), variable.shape);
  variable.assign(tensor);
  tensor.dispose();
}
