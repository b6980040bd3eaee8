import type { Stream, StreamContext } from "../stream.ts";
import { createSyntheticStream } from "./synthetic-stream.ts";
import type { TokenMixture } from "./token-mixture.ts";

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
