import type { Scalar, Tensor2D } from "@tensorflow/tfjs-core";
import type { Kernels } from "../../kernels/kernels.ts";
import type { Tensors } from "../../platform.ts";
import type { RandomSource } from "../../random.ts";
import type { CreateParameter } from "./parameters.ts";

/** What a layer of experts is trained for. */
export interface Task {
  /** Draws the batch of `step`, which depends on the seed and the step alone. */
  draw(step: number): void;
  /** `[tokens × width]`, the batch's token vectors as they enter the layer. */
  tokens(): Tensor2D;
  /** The mean loss of the batch, given what entered the layer and came out of it. */
  loss(tokens: Tensor2D, output: Tensor2D): Scalar;
  /** `[tokens]`, the true cluster of each token of the batch, where there is one. */
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
