/**
 * Propagates a loss's gradient from the gates of the last routed batch back to its logits. `gateGradient` `[tokens ×
 * slots]` is ∂loss/∂gate; adds ∂loss/∂logits to `logitGradient` `[tokens × experts]`. The selection of experts is held
 * fixed, as is usual, because it is not differentiable.
 */
export type GateBackward = (gateGradient: Float32Array, logitGradient: Float32Array) => void;

/** What held-back data came to, routed as at inference. */
export interface Evaluation {
  /** Mean loss of the task over the held-back tokens. */
  readonly loss: number;
  /** `[experts]`, the load of the held-back tokens. */
  readonly load: Int32Array;
}

/** Measurements of training on one batch. */
export interface TrainingStep {
  /** Mean over the batch's tokens, before the batch updated the parameters. */
  readonly taskLoss: number;
  /** Euclidean norm of ∂loss/∂(gate's weights), including the router's own loss. */
  readonly gateGradientNorm: number;
  /** Mean over pairs of experts of the cosine between their outputs on the same tokens, −1 … 1; 1 for a single expert. */
  readonly expertSimilarity: number;
}
