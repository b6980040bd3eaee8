import type { Stream, StreamContext } from "./stream.ts";

/** Writes the logits `[tokens × experts]` of `step` over those of the step before. Called once a step, in order. */
export type WriteLogits = (logits: Float32Array, step: number) => void;

/** A stream of `steps` full batches that `writeLogits` makes up, all in one buffer. */
export function createSyntheticStream({ shape, kernels }: StreamContext, writeLogits: WriteLogits): Stream {
  const { steps, tokens, experts } = shape;
  const logits = kernels.allocateFloat32(tokens * experts);
  let step = 0;
  return {
    async next() {
      if (step === steps) return null;
      writeLogits(logits, step);
      return { step: step++, tokens, experts, logits };
    },
    async close() {},
  };
}
