import type { LayerReader, RecordedRows } from "./recorded-layer.ts";
import type { Recording } from "./recording.ts";

/**
 * Returns `recording`, which holds rows of tokens, with every step cut into steps of `tokens` consecutive ones; the last of
 * each may be shorter. Closing it closes `recording`.
 */
export function cutRecording(recording: Recording, tokens: number): Recording {
  return { ...recording, layer: (id, batchTokens) => cutReader(recording.layer(id, batchTokens), tokens) };
}

function cutReader(reader: LayerReader, tokens: number): LayerReader {
  let piece: RecordedRows | null = null;
  /** Rows of the piece that are taken, and rows of the present step. */
  let [taken, inStep] = [0, 0];
  let step = 0;

  /** Takes at most `most` rows of one step. */
  async function take(most: number): Promise<RecordedRows | null> {
    if (piece === null || taken === piece.rows) {
      piece = await reader.next();
      taken = 0;
    }
    if (piece === null) return null;
    const { columns } = reader;
    const rows = Math.min(most, piece.rows - taken, tokens - inStep);
    const values = piece.values.subarray(taken * columns, (taken + rows) * columns);
    taken += rows;
    inStep += rows;
    const endsStep = inStep === tokens || (taken === piece.rows && piece.endsStep);
    const part = { step, rows, values, endsStep };
    if (endsStep) {
      step += 1;
      inStep = 0;
    }
    return part;
  }

  return {
    ...reader,
    steps: reader.steps * Math.ceil((reader.tokens ?? 0) / tokens),
    tokens: Math.min(tokens, reader.tokens ?? 0),
    next: () => take(Number.POSITIVE_INFINITY),
    async read(into, count) {
      let read = 0;
      for (let isOver = false; read < count && !isOver; ) {
        const part = await take(count - read);
        if (part === null) break;
        into.set(part.values, read * reader.columns);
        read += part.rows;
        isOver = part.endsStep;
      }
      return read;
    },
  };
}
