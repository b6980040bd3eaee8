import { InputError } from "../input-error.ts";
import type { Kernels } from "../kernels/kernels.ts";
import { markDisabled, type TokenBatch } from "../token-batch.ts";
import { logitProblem } from "./messages.ts";
import { maskReader, placeOf } from "./recorded-choices.ts";
import type { Recording } from "./recording.ts";

/** The logits of one layer of a recording, a step at a time. */
export interface LogitBatches {
  /**
   * Returns the next step without its padding, 0 tokens if that is all it has; null after the last. Its logits are overwritten
   * by the next. Throws `InputError` if a logit is NaN or +∞.
   */
  next(): Promise<TokenBatch | null>;
  close(): Promise<void>;
}

/**
 * Returns a function that opens a layer of recorded logits as batches, any number of times, one at a time: all have the same
 * memory, that of one step of the layer with most tokens. Throws `RangeError` if a step does not fit into the kernels' memory.
 *
 * @param paddingMask file that marks padding among the tokens of every layer
 */
export function logitBatchesByLayer(
  recording: Recording,
  kernels: Kernels,
  paddingMask?: string,
): (id: number) => LogitBatches {
  const { name, layers } = recording;
  const experts = recording.experts!;
  const most = Math.max(0, ...layers.map((id) => recording.layer(id).tokens ?? 0));
  const logits = kernels.allocateFloat32(most * experts);
  return (id) => {
    const reader = recording.layer(id);
    const mask = paddingMask === undefined ? null : maskReader(paddingMask, reader);
    return {
      async next() {
        let [tokens, seen] = [0, 0];
        for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
          const { step, rows, values, endsStep } = piece;
          const isPadding = (await mask?.next(rows)) ?? null;
          for (let row = 0; row < rows; row++, seen++) {
            if (isPadding?.[row] === 1) continue;
            const start = tokens * experts;
            logits.set(values.subarray(row * experts, (row + 1) * experts), start);
            for (let e = 0; e < experts; e++) {
              if (logits[start + e] < Number.POSITIVE_INFINITY) continue;
              throw new InputError(
                `${name}: ${placeOf(reader)}the logit of step ${step}, token ${seen} of that step, expert ${e} is ` +
                  logitProblem(logits[start + e]),
              );
            }
            tokens += 1;
          }
          if (endsStep) return { step, tokens, experts, logits, hasDisabled: markDisabled(logits, tokens * experts) };
        }
        return null;
      },
      close: async () => mask?.close(),
    };
  };
}
