/**
 * Carries a loss's gradient from the gates of the batch that was routed last back to its logits. `gateGradient`
 * `[tokens × slots]` is ∂loss/∂gate; ∂loss/∂logits is added to `logitGradient` `[tokens × experts]`. Which experts were
 * selected is held fixed, as everywhere in the field: it changes in jumps.
 */
export type GateBackward = (gateGradient: Float32Array, logitGradient: Float32Array) => void;

/** What training on one batch came to. */
export interface TrainingStep {
  /** Mean over the batch's tokens, before the parameters were updated by it. */
  readonly taskLoss: number;
  /** Euclidean norm of ∂loss/∂(gate's weights), the router's own loss included. */
  readonly gateGradientNorm: number;
  /** Mean over pairs of experts of the cosine between their outputs on the same tokens, −1 … 1; 1 for a single expert. */
  readonly expertSimilarity: number;
}
