import type { Rank, ShapeMap, Variable } from "@tensorflow/tfjs-core";
import type { Kernels } from "../../kernels/kernels.ts";
import type { Tensors } from "../../platform.ts";
import type { RandomSource } from "../../random.ts";
import { createNormalRows } from "../parts/normal-source.ts";

/** One parameter and its optimiser state. */
export interface Parameter {
  readonly name: string;
  readonly variable: Variable;
  /** Contents of `variable`; changes take effect with an `assign`. */
  readonly values: Float32Array;
}

/** Creates a parameter of normal numbers with `deviation`, drawn from a random source of its own name. */
export type CreateParameter = <R extends Rank>(name: string, shape: ShapeMap[R], deviation: number) => Variable<R>;

/** `create` appends each parameter to `parameters`. */
export function createParameters(
  tf: Tensors,
  kernels: Kernels,
  random: RandomSource,
): { parameters: readonly Parameter[]; create: CreateParameter } {
  const parameters: Parameter[] = [];
  return {
    parameters,
    create<R extends Rank>(name: string, shape: ShapeMap[R], deviation: number): Variable<R> {
      const columns = shape.at(-1)!;
      const rows = shape.slice(0, -1).reduce((product, length) => product * length, 1);
      const values = new Float32Array(rows * columns);
      if (deviation > 0) createNormalRows(kernels, random.derive(name), rows, columns)(values);
      for (let i = 0; i < values.length; i++) values[i] *= deviation;
      const initial = tf.tensor<R>(values.slice(), shape);
      const variable = tf.variable(initial);
      initial.dispose();
      parameters.push({ name, values, variable: variable as unknown as Variable });
      return variable;
    },
  };
}
