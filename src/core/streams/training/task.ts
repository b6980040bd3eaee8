import type { Scalar, Tensor2D } from "@tensorflow/tfjs-core";
import type { Kernels } from "../../kernels/kernels.ts";
import type { Tensors } from "../../platform.ts";
import type { RandomSource } from "../../random.ts";
import type { CreateParameter } from "./parameters.ts";

/** Which data a batch is drawn from: those to train on, or those held back for evaluation. */
export type TaskData = "training" | "evaluation";

/** What a layer of experts is trained for. */
export interface Task {
  /** Allocates a batch of `tokens` tokens. */
  createBatch(tokens: number, data: TaskData): TaskBatch;
}

/** A batch of a task; it holds data once `draw` was called. */
export interface TaskBatch {
  /** Draws new data from `random`, distributed as in `step`. */
  draw(random: RandomSource, step: number): void;
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
  readonly width: number;
}
