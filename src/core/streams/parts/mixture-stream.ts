import type { Stream, StreamContext } from "../stream.ts";
import { createSyntheticStream } from "./synthetic-stream.ts";
import type { TokenMixture } from "./token-mixture.ts";

/** The stream of the tokens of a `mixture` that `move` changes before each step's, whether their logits are wanted or not. */
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
