import type { Scalar, Tensor2D } from "@tensorflow/tfjs-core";
import type { Kernels } from "../../kernels/kernels.ts";
import type { Tensors } from "../../platform.ts";
import type { RandomSource } from "../../random.ts";
import type { CreateParameter } from "./parameters.ts";

/** What a layer of experts is trained for. */
export interface Task {
  /** Draws the batch of `step`, which depends only on the seed and the step. */
  draw(step: number): void;
  /** `[tokens × width]`, the batch's token vectors at the input of the layer. */
  tokens(): Tensor2D;
  /** Mean loss of the batch, from the input and the output of the layer. */
  loss(tokens: Tensor2D, output: Tensor2D): Scalar;
  /** `[tokens]`, the true cluster of each token of the batch, if there is one. */
  readonly cluster?: Int32Array;
}

export interface TaskContext {
  readonly tf: Tensors;
  readonly kernels: Kernels;
  readonly random: RandomSource;
  readonly createParameter: CreateParameter;
  readonly tokens: number;
  readonly width: number;
}
