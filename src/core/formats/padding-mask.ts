import { InputError } from "../input-error.ts";
import type { Source } from "../source.ts";
import { counted } from "../words.ts";
import { shapeText } from "./messages.ts";

/** Values read at once. */
const pieceValues = 1 << 16;

/** Which tokens of a recording are padding, read beside it from front to back; memory holds a piece. */
export interface PaddingMask {
  /** Fills the first `count` entries of `isPadding` for the next tokens: 1 for padding, 0 for a token. */
  read(isPadding: Uint8Array, count: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the padding mask of a recording of `tokens` tokens: booleans, or integers that are 0 or 1, one for each token in the
 * order of the recording, in any shape. 1 is padding, as in PyTorch's `key_padding_mask`; an attention mask, whose 1 is
 * a token, is the other way round. Throws `InputError` at once if the file holds floats or another number of values,
 * and later for a value that is neither 0 nor 1.
 */
export async function openPaddingMask(file: Source, tokens: number): Promise<PaddingMask> {
  // Few recordings have a mask, and all would wait for the formats to load.
  const { openVector } = await import("./vector.ts");
  const vector = await openVector(file);
  const { file: name, dtype, shape, length, kind } = vector;
  const problem =
    kind === "float"
      ? "a padding mask holds booleans, or integers that are 0 or 1"
      : length === tokens
        ? null
        : `a padding mask has one value for each token, and there are ${counted(tokens, "token")}, not ${length}`;
  if (problem !== null) {
    await vector.close();
    throw new InputError(`${name}: ${dtype} ${shapeText(shape)}: ${problem}`);
  }
  const piece = new Float64Array(Math.min(pieceValues, length));
  let next = 0;
  let end = 0;
  let token = 0;
  return {
    async read(isPadding, count) {
      for (let i = 0; i < count; i++, next++, token++) {
        if (next === end) {
          [next, end] = [0, await vector.read(piece)];
          if (end === 0) throw new InputError(`${name}: truncated: it ends before token ${token}`);
        }
        const value = piece[next];
        if (value !== 0 && value !== 1) {
          throw new InputError(`${name}: token ${token}: ${value} is not allowed; 1 is padding, 0 is a token`);
        }
        isPadding[i] = value;
      }
    },
    close: () => vector.close(),
  };
}
