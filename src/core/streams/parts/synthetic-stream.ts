import { z } from "zod";
import type { Stream, StreamContext } from "../stream.ts";
import type { TokenMixture } from "./token-mixture.ts";

/** Overwrites the previous step's logits `[tokens × experts]` with those of `step`. Called once per step, in order. */
export type WriteLogits = (logits: Float32Array, step: number) => void;

/** Option of streams that can stand still. */
export const repeatOption = z
  .boolean()
  .default(false)
  .describe("Repeat the first batch on every step: the deterministic setting of theory.");

/**
 * A stream of `steps` full batches that `writeLogits` generates in one buffer. With `repeat` it is called only for the
 * first step, whose batch every step returns. `passStep`, if given, is called instead for steps whose logits are not
 * needed; it must leave the random numbers and all moving state as `writeLogits` would.
 *
 * @param tokenId `[tokens]`, where `writeLogits` writes the id of each token, if the stream has ids
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

/**
 * Stream of a `mixture`'s tokens. `move` changes the mixture before each step, even if the step's logits are skipped.
 */
export function createMixtureStream(
  context: StreamContext,
  mixture: TokenMixture,
  move: (step: number) => void,
): Stream {
  return createSyntheticStream(
    context,
    (logits, step) => {
      move(step);
      mixture.writeLogits(logits);
    },
    false,
    (step) => {
      move(step);
      mixture.passTokens();
    },
  );
}
