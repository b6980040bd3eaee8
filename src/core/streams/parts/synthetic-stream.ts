import { z } from "zod";
import type { Stream, StreamContext } from "../stream.ts";

/** Writes the logits `[tokens × experts]` of `step` over those of the step before. Called once a step, in order. */
export type WriteLogits = (logits: Float32Array, step: number) => void;

/** The option of streams that can hold still. */
export const repeatOption = z
  .boolean()
  .default(false)
  .describe("Every step is the first batch again: the deterministic setting of theory.");

/**
 * A stream of `steps` full batches that `writeLogits` makes up, all in one buffer. With `repeat` it is called for the
 * first step alone, whose batch every step is. Where a step's logits are not wanted `passStep` is called instead, if there
 * is one: it must leave the random numbers and all that moves as `writeLogits` would.
 *
 * @param tokenId `[tokens]`, where `writeLogits` notes the id of each token, if the stream has ids
 */
export function createSyntheticStream(
  { shape, kernels }: StreamContext,
  writeLogits: WriteLogits,
  repeat = false,
  passStep?: (step: number) => void,
  tokenId?: Int32Array,
): Stream {
  const { steps, tokens, experts } = shape;
  const logits = kernels.allocateFloat32(tokens * experts);
  let step = 0;
  return {
    async next() {
      if (step === steps) return null;
      if (step === 0 || !repeat) writeLogits(logits, step);
      return { step: step++, tokens, experts, logits, ...(tokenId !== undefined && { tokenId }) };
    },
    ...(passStep !== undefined &&
      !repeat && {
        skip() {
          passStep(step);
          step += 1;
        },
      }),
    async close() {},
  };
}
