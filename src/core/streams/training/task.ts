import type { RandomSource } from "../../random.ts";

/** Which data a batch is drawn from: those to train on, or those held back for evaluation. */
export type TaskData = "training" | "evaluation";

/** What a model is trained for. */
export interface Task {
  /** Allocates a batch of `tokens` tokens. */
  createBatch(tokens: number, data: TaskData): TaskBatch;
}

/** A batch of a task; it holds data once `draw` was called. Its arrays belong to the kernels. */
export type TaskBatch = ClustersBatch | TextBatch;

interface DrawnBatch {
  readonly tokens: number;
  /** Draws new data from `random`, distributed as in `step`. */
  draw(random: RandomSource, step: number): void;
}

/** Vectors, and what the model should return for them. */
export interface ClustersBatch extends DrawnBatch {
  readonly task: "clusters";
  /** x `[tokens × width]`. */
  readonly x: Float32Array;
  /** y `[tokens × width]`. */
  readonly y: Float32Array;
  /** `[tokens]`, the true cluster of each token. */
  readonly cluster: Int32Array;
}

/** Places of a text. */
export interface TextBatch extends DrawnBatch {
  readonly task: "text";
  /** `[tokens × context]`, the ids before each place, in their order. */
  readonly contexts: Int32Array;
  /** `[tokens]`, the id at each place. */
  readonly next: Int32Array;
}
